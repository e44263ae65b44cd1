"""THE WRITE PATH: passages -> windows -> encoder -> uploader -> collection."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.ingest.api import ingest

if TYPE_CHECKING:
    from tasb_qdrant.ingest.rejects.lines import RejectedLines
    from tasb_qdrant.ingest.source.preview import Preview, preview
    from tasb_qdrant.ingest.verify.plan import SyncPlan, plan_sync

__all__ = ["ingest", "plan_sync", "preview", "Preview", "RejectedLines", "SyncPlan"]

# Imported at the first use: `import tasb_qdrant` comes through here, and must be quick.
_LAZY: Final = {
    "RejectedLines": "tasb_qdrant.ingest.rejects.lines",
    "preview": "tasb_qdrant.ingest.source.preview",
    "Preview": "tasb_qdrant.ingest.source.preview",
    "plan_sync": "tasb_qdrant.ingest.verify.plan",
    "SyncPlan": "tasb_qdrant.ingest.verify.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
