"""Checks that everything a run needs is in place; each says what to do if it isn't."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tasb_qdrant.cores import cores
from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.settings import DEFAULT_STORE, StoreSettings, environment_names
from tasb_qdrant.settings.file import SettingsFile

if TYPE_CHECKING:
    from tasb_qdrant.encoder.model.files import ModelFiles
    from tasb_qdrant.encoder.model.layout import Layout
    from tasb_qdrant.encoder.options import EncoderChoice

Status = Literal["ok", "warning", "failed"]

_PACKAGES: Final = ("tasb-qdrant", "torch", "transformers", "tokenizers", "qdrant-client", "qdrant-edge-py")


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `advice` is empty if there is nothing to do."""

    name: str
    status: Status
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return asdict(self)


def diagnose(
    store: StoreSettings, *, encoder: EncoderChoice | None = None, settings: SettingsFile | None = None
) -> list[Check]:
    """Run every check, in order. A failing check doesn't stop the rest.

    The model that `encoder` names is loaded, and makes a vector; without one, it is looked whether TAS-B could be.
    `settings` is the file that the command line took defaults from.
    """
    checks = [check for make in _CHECKS for check in make(store)]
    checks.insert(1, _settings(settings or SettingsFile()))
    return [*checks, *(_tas_b(checks[-1]) if encoder is None or encoder.model is None else named_model(encoder))]


def _settings(found: SettingsFile) -> Check:
    """Which file and which variables stand for options that nobody types."""
    variables = environment_names()
    file = "no file" if found.file is None else f"{found.file} ({', '.join(found.keys) or 'no keys'})"
    return Check("settings", "ok", f"{file}; {', '.join(variables) if variables else 'no variables'}")


def _versions(_: StoreSettings) -> list[Check]:
    found = [f"Python {platform.python_version()}"]
    missing = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        advice = f"install {', '.join(missing)}: pip install tasb-qdrant"
        return [Check("versions", "failed", ", ".join(found), advice)]
    return [Check("versions", "ok", ", ".join(found))]


def _device(_: StoreSettings) -> list[Check]:
    import torch

    from tasb_qdrant.encoder.hardware import has_fast_bf16

    bf16 = has_fast_bf16()
    cpu = Check(
        "CPU",
        "ok",
        f"{cores()} cores, {'uses bf16' if bf16 else 'uses fp32: no bf16 instructions'}",
    )
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        return [cpu, Check("GPU", "ok", names)]
    advice = "for large corpora, use a CUDA GPU" + (
        "" if torch.version.cuda else "; this PyTorch was built without CUDA, so it would not use one"
    )
    return [cpu, Check("GPU", "warning", "none", advice)]


def _embedded_store(store: StoreSettings) -> list[Check]:
    """Whether the engine works in the folder that would be used, or in its nearest existing parent."""
    import qdrant_edge as edge

    wanted = (store.path or DEFAULT_STORE).absolute()
    place = next((folder for folder in (wanted, *wanted.parents) if folder.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".tasb-qdrant-doctor-") as folder:
            config = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=4, distance=edge.Distance.Dot))
            shard = edge.EdgeShard.create(str(Path(folder) / "shard"), config)
            shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [1.0, 0.0, 0.0, 0.0])]))
            count = shard.count(edge.CountRequest())
            shard.close()
    except OSError as error:
        advice = "choose a writable folder with --path"
        return [Check("embedded store", "failed", f"{place}: {error.strerror or error}", advice)]
    if count != 1:
        return [Check("embedded store", "failed", f"stored 1 point, found {count}", "reinstall qdrant-edge-py")]
    return [Check("embedded store", "ok", f"works in {place}")]


def _server(store: StoreSettings) -> list[Check]:
    if store.url is None:
        return [Check("server", "ok", "none given; the embedded store is used", "give one with --url or $QDRANT_URL")]
    from tasb_qdrant.collection.server.connection import Patience, connect
    from tasb_qdrant.collection.server.versions import brought_by

    try:
        patience = Patience.to_read(store)
        connection = connect(store, patience=patience, deadline=patience.begin())
    except TasbQdrantError as error:
        return [Check("server", "failed", str(error))]
    connection.close()
    found = f"Qdrant {'.'.join(map(str, connection.version))} at {store.url} over {connection.transport}"
    there, missing = brought_by(connection.version)
    later = f"later versions have {'; '.join(missing)}" if missing else ""
    return [
        Check("server", "warning" if connection.notes else "ok", found, " ".join(connection.notes)),
        Check("server version", "ok", f"has {'; '.join(there)}", later),
    ]


def _hub(_: StoreSettings) -> list[Check]:
    from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT, hub_address, list_repo
    from tasb_qdrant.encoder.model.resolve import PORT

    try:
        list_repo(PORT, revision=None, timeout=HUB_TIMEOUT)
    except TasbQdrantError as error:
        return [Check("hub", "warning", str(error))]
    return [Check("hub", "ok", f"{hub_address()} answers")]


def _tas_b(hub: Check) -> list[Check]:
    from tasb_qdrant.encoder.model.packaged import packaged_model
    from tasb_qdrant.encoder.model.resolve import ORIGINAL, PORT

    if (folder := _cached_model(ORIGINAL) or _cached_model(PORT)) is not None:
        return [Check("model", "ok", f"TAS-B is cached in {folder}")]
    if hub.status == "ok":
        return [Check("model", "ok", "TAS-B is not cached yet; the first run downloads 265 MB")]
    found = "TAS-B is not cached and can't be downloaded" + (
        "; only the small encoder of the extra 'demo' is available" if packaged_model() is not None else ""
    )
    return [Check("model", "failed", found, "copy a model folder to this machine, and name it with --model DIR")]


def named_model(choice: EncoderChoice) -> list[Check]:
    """Whether the model that `choice` names is found, what its files hold and declare, and that it makes a vector."""
    from tasb_qdrant.encoder.model.files import find_model

    try:
        files = find_model(choice.model or "", revision=choice.revision, allow_pickle=choice.allow_pickle)
    except TasbQdrantError as error:
        return [Check("model", "failed", str(error))]
    commit = f", commit {files.source.commit}" if files.source.commit else ""
    found = Check("model", "ok", f"{files.source.id} in {files.source.folder}{commit}", " ".join(files.source.notes))
    return [found, _weights(files), _declared(files.layout), _vector(choice)]


def _weights(files: ModelFiles) -> Check:
    weights = [files.weights, files.adapter, *files.steps]
    safe = all(found.safe for found in weights if found is not None)
    size = sum(path.stat().st_size for path in files.hashed)
    kind = "safetensors" if safe else "pickle, loaded as tensors alone"
    advice = "" if safe else "prefer a copy with safetensors"
    return Check("weights", "ok" if safe else "warning", f"{kind}, {size / 1e6:,.0f} MB", advice)


def _declared(layout: Layout) -> Check:
    """What the model's files say of its vectors, before anything is loaded."""
    parts = [
        f"{layout.pooling} pooling",
        "normalised" if layout.normalized else "not normalised",
        *(f"then {step}" for step in layout.steps),
        f"similarity {layout.similarity}" if layout.similarity else "no similarity",
        f"at most {layout.max_length} tokens" if layout.max_length else "no length of its own",
        f"cut to {layout.dim} numbers" if layout.dim else "",
        *(
            f"{name} prompt {prompt!r}"
            for name, prompt in (("query", layout.query_prompt), ("passage", layout.passage_prompt))
            if prompt
        ),
    ]
    source = "" if layout.modules else " (there is no modules.json: these are the defaults)"
    return Check("declared", "ok", f"{', '.join(filter(None, parts))}{source}", " ".join(layout.notes))


def _vector(choice: EncoderChoice) -> Check:
    """A vector of a passage, as it would be stored."""
    import numpy as np

    try:
        began = time.perf_counter()
        encoder = choice.load()
        loaded = time.perf_counter()
        vector = encoder.encode_passages(["A passage, to see that the model works."])[0]
        seconds = time.perf_counter() - loaded
    except TasbQdrantError as error:
        return Check("vector", "failed", str(error))
    contract = encoder.contract
    return Check(
        "vector",
        "ok",
        f"{len(vector)} numbers of length {float(np.linalg.norm(vector)):.4g}, {contract.max_length} tokens at most, "
        f"in {contract.precision} on {encoder.device}; loaded in {loaded - began:.1f} s, encoded in "
        f"{seconds * 1000:.0f} ms",
        " ".join(note for note in encoder.notes),
    )


def _cached_model(repo: str) -> Path | None:
    """The cached copy of a model, if its weights are cached too."""
    from tasb_qdrant.encoder.model.hub import cached_folder
    from tasb_qdrant.encoder.model.layout import read_layout
    from tasb_qdrant.encoder.model.weights import find_weights

    folder = cached_folder(repo, None)
    if folder is None:
        return None
    try:
        find_weights(read_layout(folder).transformer, allow_pickle=False)
    except TasbQdrantError:
        return None
    return folder


_CHECKS: Final[tuple[Callable[[StoreSettings], list[Check]], ...]] = (
    _versions,
    _device,
    _embedded_store,
    _server,
    _hub,
)
