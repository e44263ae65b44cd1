"""Put passages into Qdrant with the TAS-B encoder, and search them.

`import tasb_qdrant` is quick: what needs torch, qdrant-client or the engine is loaded when it is first used.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.filters import F
from tasb_qdrant.ingest import ingest
from tasb_qdrant.records import Hit, IngestReport, Passage

if TYPE_CHECKING:
    from tasb_qdrant.collection.open import open_collection, open_store
    from tasb_qdrant.encoder import Encoder, load_encoder
    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.ingest.verify.run import verify
    from tasb_qdrant.records.verification import VerifyReport
    from tasb_qdrant.search import AsyncSearcher, Searcher
    from tasb_qdrant.settings import CollectionSettings, PayloadKeys
    from tasb_qdrant.sources import SourceFields

# Who wants to see what happens here configures logging; who doesn't is not told through Python's last resort.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ingest",
    "verify",
    "Searcher",
    "AsyncSearcher",
    "F",
    "Passage",
    "Hit",
    "IngestReport",
    "VerifyReport",
    "Progress",
    "Encoder",
    "load_encoder",
    "open_collection",
    "open_store",
    "CollectionSettings",
    "PayloadKeys",
    "SourceFields",
    "TasbQdrantError",
]

_LAZY: Final = {
    "Searcher": "tasb_qdrant.search",
    "AsyncSearcher": "tasb_qdrant.search",
    "verify": "tasb_qdrant.ingest.verify.run",
    "VerifyReport": "tasb_qdrant.records.verification",
    "Progress": "tasb_qdrant.ingest.progress",
    "Encoder": "tasb_qdrant.encoder",
    "load_encoder": "tasb_qdrant.encoder",
    "open_collection": "tasb_qdrant.collection.open",
    "open_store": "tasb_qdrant.collection.open",
    "CollectionSettings": "tasb_qdrant.settings",
    "PayloadKeys": "tasb_qdrant.settings",
    "SourceFields": "tasb_qdrant.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
