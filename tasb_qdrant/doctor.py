"""Checks that everything a run needs is in place; each says what to do if it isn't."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.settings import DEFAULT_STORE, StoreSettings

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


def diagnose(store: StoreSettings) -> list[Check]:
    """Run every check, in order. A failing check doesn't stop the rest."""
    return [check for make in _CHECKS for check in make(store)]


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

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bf16 = has_fast_bf16()
    cpu = Check(
        "CPU",
        "ok",
        f"{cores} cores, {'uses bf16' if bf16 else 'uses fp32: no bf16 instructions'}",
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

    try:
        connection = connect(store, patience=Patience.to_read(store))
    except TasbQdrantError as error:
        return [Check("server", "failed", str(error))]
    connection.close()
    found = f"Qdrant {'.'.join(map(str, connection.version))} at {store.url} over {connection.transport}"
    return [Check("server", "warning" if connection.notes else "ok", found, " ".join(connection.notes))]


def _model(_: StoreSettings) -> list[Check]:
    from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT, hub_address, list_repo
    from tasb_qdrant.encoder.model.packaged import packaged_model
    from tasb_qdrant.encoder.model.resolve import ORIGINAL, PORT

    folder = _cached_model(ORIGINAL) or _cached_model(PORT)
    try:
        list_repo(PORT, revision=None, timeout=HUB_TIMEOUT)
    except TasbQdrantError as error:
        hub = Check("hub", "warning", str(error))
    else:
        hub = Check("hub", "ok", f"{hub_address()} answers")
    if folder is not None:
        return [hub, Check("model", "ok", f"TAS-B is cached in {folder}")]
    if hub.status == "ok":
        return [hub, Check("model", "ok", "TAS-B is not cached yet; the first run downloads 265 MB")]
    found = "TAS-B is not cached and can't be downloaded" + (
        "; only the small encoder of the extra 'demo' is available" if packaged_model() is not None else ""
    )
    return [hub, Check("model", "failed", found, "copy a model folder to this machine, and name it with --model DIR")]


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
    _model,
)
