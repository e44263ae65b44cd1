"""Is everything here that a run needs? Each answer with what to do when it is not."""

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
from tasb_qdrant.settings import StoreSettings

Status = Literal["ok", "warning", "failed"]

_PACKAGES: Final = ("tasb-qdrant", "torch", "transformers", "tokenizers", "qdrant-client", "qdrant-edge-py")


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. `advice` is empty where nothing is to be done."""

    name: str
    status: Status
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return asdict(self)


def diagnose(store: StoreSettings) -> list[Check]:
    """Every check in order. One that fails doesn't keep the others from being made."""
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

    from tasb_qdrant.encoder.hardware import has_amx

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    amx = has_amx()
    cpu = Check(
        "CPU",
        "ok",
        f"{cores} cores, {'AMX: bf16 is used' if amx else 'no AMX: fp32 is used'}",
    )
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        return [cpu, Check("GPU", "ok", names)]
    advice = "large corpora want a CUDA GPU" + (
        "" if torch.version.cuda else "; this PyTorch is built without CUDA, so a GPU here would not be used"
    )
    return [cpu, Check("GPU", "warning", "none", advice)]


def _embedded_store(_: StoreSettings) -> list[Check]:
    import qdrant_edge as edge

    try:
        with tempfile.TemporaryDirectory() as folder:
            config = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=4, distance=edge.Distance.Dot))
            shard = edge.EdgeShard.create(str(Path(folder) / "shard"), config)
            shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [1.0, 0.0, 0.0, 0.0])]))
            count = shard.count(edge.CountRequest())
            shard.close()
    except OSError as error:
        return [Check("embedded store", "failed", str(error), "make room in the temporary folder, or set TMPDIR")]
    if count != 1:
        return [Check("embedded store", "failed", f"stored 1 point, found {count}", "reinstall qdrant-edge-py")]
    return [Check("embedded store", "ok", "works")]


def _server(store: StoreSettings) -> list[Check]:
    if store.url is None:
        return [Check("server", "ok", "none named; the embedded store is used", "name one with --url or $QDRANT_URL")]
    from tasb_qdrant.collection.connection import connect

    try:
        connection = connect(store)
    except TasbQdrantError as error:
        return [Check("server", "failed", str(error))]
    connection.client.close()
    found = f"Qdrant {'.'.join(map(str, connection.version))} at {store.url} over {connection.transport}"
    return [Check("server", "warning" if connection.notes else "ok", found, " ".join(connection.notes))]


def _model(_: StoreSettings) -> list[Check]:
    from tasb_qdrant.encoder.hub import cached_folder, hub_address, list_repo
    from tasb_qdrant.encoder.load import HUB_TIMEOUT
    from tasb_qdrant.encoder.packaged import packaged_model
    from tasb_qdrant.encoder.resolve import ORIGINAL, PORT

    folder = next((found for repo in (ORIGINAL, PORT) if (found := cached_folder(repo, None)) is not None), None)
    try:
        list_repo(PORT, revision=None, timeout=HUB_TIMEOUT)
    except TasbQdrantError as error:
        hub = Check("hub", "warning" if folder else "failed", str(error))
    else:
        hub = Check("hub", "ok", f"{hub_address()} answers")
    if folder is not None:
        return [hub, Check("model", "ok", f"TAS-B is cached in {folder}")]
    if hub.status == "ok":
        return [hub, Check("model", "ok", "TAS-B is not cached yet; the first run downloads 265 MB")]
    advice = "copy a model folder here, and name it with --model DIR"
    if packaged_model() is not None:
        return [
            Check("hub", "warning", hub.found, "TAS-B can't be downloaded"),
            Check("model", "warning", "only the small encoder of the extra 'demo' is here", advice),
        ]
    return [hub, Check("model", "failed", "TAS-B is neither cached nor to be had", advice)]


_CHECKS: Final[tuple[Callable[[StoreSettings], list[Check]], ...]] = (
    _versions,
    _device,
    _embedded_store,
    _server,
    _model,
)
