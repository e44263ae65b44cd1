"""Scoring a set of candidates against a query, written once for both searchers.

The first stage is the encoder's dot product: stored passages are scored by their stored vectors, others are encoded.
A cross-encoder, where one is given, reads query and passage together and has the last word on the best of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from tasb_qdrant.collection.reads.questions import ReadOptions
from tasb_qdrant.errors import CollectionError, PassageNotFoundError, SettingsError
from tasb_qdrant.records import Hit, Passage, encoder_text
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.ranking import checked_query
from tasb_qdrant.search.session import Session
from tasb_qdrant.settings import checks
from tasb_qdrant.steps import Steps, encode_passages, encode_queries, work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasb_qdrant.collection.reads.questions import ScoredPoint
    from tasb_qdrant.encoder import CrossEncoder

T = TypeVar("T")

Candidate: TypeAlias = str | Passage | Hit[Any]
"""The id of a passage in the collection, or a hit, which is one, or a passage that needn't be there."""

CROSS_DEPTH: Final = 100
"""Candidates that a cross-encoder reads, the best by dot product: it takes a forward pass for each."""

_PAGE: Final = 1_000
"""Vectors fetched in one request: 3 MB at 768 dimensions."""


def rerank(
    session: Session[T],
    query: str,
    candidates: Iterable[Candidate],
    *,
    limit: int | None = None,
    cross_encoder: CrossEncoder | None = None,
    cross_depth: int = CROSS_DEPTH,
    timeout: float | None = None,
) -> Steps[Hits[T]]:
    """The candidates as hits, best first; equal scores stay in the order given.

    Raises SettingsError for anything but a candidate, PassageNotFoundError for ids that aren't in the collection,
    CollectionError for those without a vector.
    """
    query, read = checked_query(query), ReadOptions(timeout=timeout)
    limit = None if limit is None else checks.whole("limit", limit, least=1)
    cross_depth = checks.whole("cross_depth", cross_depth, least=1)
    given = _checked(candidates)
    if not given:
        return Hits(notes=session.notes)
    [vector] = yield from encode_queries([query])
    stored = yield from _stored(session, [_name(one) for one in given if not isinstance(one, Passage)], read)
    texts = [one.encoder_text for one in given if isinstance(one, Passage)]
    vectors = (yield from encode_passages(texts)) if texts else ()
    encoded: Iterator[NDArray[np.float32]] = iter(vectors)
    hits = [
        session.hits.of_passage(one, _dot(vector, next(encoded)))
        if isinstance(one, Passage)
        else _scored(session, stored[_name(one)], vector)
        for one in given
    ]
    hits.sort(key=lambda hit: -hit.score)
    if cross_encoder is not None:
        hits = yield from _read_together(query, hits[: max(cross_depth, limit or 0)], cross_encoder)
    return Hits(hits if limit is None else hits[:limit], notes=session.notes)


def _checked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each candidate once, the first time it comes."""
    if isinstance(candidates, str):
        raise SettingsError(f"rerank takes a list of candidates, got the string {candidates!r}; write [{candidates!r}]")
    given: dict[str, Candidate] = {}
    for one in candidates:
        _check_candidate(one)
        given.setdefault(_name(one), one)
    return list(given.values())


def _check_candidate(one: object) -> None:
    if not isinstance(one, str | Passage | Hit) or one == "":
        raise SettingsError(
            f"a candidate is the id of a passage, a Passage or a Hit; got {one!r} of type {type(one).__name__}"
        )


def _name(candidate: Candidate) -> str:
    return candidate if isinstance(candidate, str) else candidate.id


def _stored(session: Session[T], names: Sequence[str], read: ReadOptions) -> Steps[dict[str, ScoredPoint]]:
    """The points of passages that must be there, with payload and vector."""
    found: dict[str, ScoredPoint] = {}
    for start in range(0, len(names), _PAGE):
        found |= yield from _page(session, names[start : start + _PAGE], read)
    if missing := [name for name in names if name not in found]:
        raise PassageNotFoundError(session.collection.name, missing, document_field=session.document_field)
    return found


def _page(session: Session[T], names: Sequence[str], read: ReadOptions) -> Steps[dict[str, ScoredPoint]]:
    ids = {session.collection.point_id(name): name for name in names}
    points = yield from session.reads.retrieve(list(ids), vectors=True, read=read)
    return {ids[point.id]: point for point in points}


def _scored(session: Session[T], point: ScoredPoint, query: NDArray[np.float32]) -> Hit[T]:
    if point.vector is None:
        raise CollectionError(
            f"collection {session.collection.name!r}: the passage with the point id {point.id} is stored without its "
            "vector, so it can't be compared; ingest its source again, which stores what is missing"
        )
    return session.hits.hit(replace(point, score=_dot(query, point.vector), vector=None))


def _dot(query: NDArray[np.float32], passage: NDArray[np.float32]) -> float:
    return float(query @ passage)


def _read_together(query: str, hits: list[Hit[T]], cross_encoder: CrossEncoder) -> Steps[list[Hit[T]]]:
    """The hits in the order of the cross-encoder, with its scores."""
    texts = [encoder_text(hit.title, hit.text) for hit in hits]
    scores = yield from work(
        lambda: cross_encoder.score(query, texts), "read query and passages together", encodes=True
    )
    rescored = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(rescored, key=lambda hit: -hit.score)
