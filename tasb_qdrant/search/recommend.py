"""More like these passages, written once for both searchers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar, Unpack, get_args

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import ReadOptions, Recommended
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.search.browse import required
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.options import HitOptions, Strategy
from tasb_qdrant.search.ranking import query_options
from tasb_qdrant.search.session import Session
from tasb_qdrant.settings import checks
from tasb_qdrant.steps import Steps, encode_passages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

Example: TypeAlias = str | Passage
"""The id of a passage in the collection, or one that needn't be there."""


def recommend(
    session: Session[T],
    positive: Sequence[Example],
    negative: Sequence[Example] = (),
    *,
    strategy: Strategy = "average_vector",
    limit: int = 10,
    offset: int = 0,
    **options: Unpack[HitOptions],
) -> Steps[Hits[T]]:
    """What is like the positive examples and unlike the negative ones, without the examples themselves."""
    wanted = query_options(session.hits, options, limit=limit, offset=offset)
    checks.choice("strategy", strategy, get_args(Strategy))
    positive, negative = _listed("positive", positive), _listed("negative", negative)
    if not positive and (strategy == "average_vector" or not negative):
        raise SettingsError(
            "recommend needs at least one positive example; with best_score or sum_scores, one of either kind"
        )
    warnings = yield from session.where.check(wanted.where)
    if isinstance(wanted.payload, tuple):
        warnings += yield from session.where.check_fields(wanted.payload)
    examples = yield from _examples(session, [*positive, *negative], wanted.read)
    query = Recommended(tuple(examples[: len(positive)]), tuple(examples[len(positive) :]), strategy)
    [points] = yield from session.reads.query([query], wanted)
    return session.hits.hits(points, warnings=warnings)


def _listed(name: str, given: object) -> list[Example]:
    """The examples as a list. A string is one id, and not those of its letters. Raises SettingsError."""
    if isinstance(given, str):
        raise SettingsError(f"{name} examples are a list of passage ids, got the string {given!r}; write [{given!r}]")
    if not isinstance(given, Iterable):
        raise SettingsError(f"{name} examples are a list of ids or Passages, got {type(given).__name__}; write [...]")
    return list(given)


def _examples(
    session: Session[T], given: Sequence[Example], read: ReadOptions
) -> Steps[list[PointId | NDArray[np.float32]]]:
    """Point ids and vectors, in the order given. Raises SettingsError, PassageNotFoundError."""
    _check_examples(given)
    names = [one for one in given if isinstance(one, str)]
    points = iter((yield from required(session, names, read)) if names else [])
    texts = [one.encoder_text for one in given if isinstance(one, Passage)]
    encoded = (yield from encode_passages(texts)) if texts else ()
    vectors: Iterator[NDArray[np.float32]] = iter(encoded)
    return [next(points) if isinstance(one, str) else next(vectors) for one in given]


def _check_examples(given: Sequence[object]) -> None:
    for one in given:
        if not isinstance(one, str | Passage):
            raise SettingsError(f"an example is the id of a passage, or a Passage; got {type(one).__name__}")
