"""More like these passages, written once for both searchers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import Recommended
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.search.browse import there
from tasb_qdrant.search.deadline import Deadline
from tasb_qdrant.search.effects import Steps, encode_passages, read
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.options import Strategy, Wanted
from tasb_qdrant.search.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

Example: TypeAlias = str | Passage
"""The id of a passage in the collection, or one that needn't be there."""


def recommend(
    session: Session[T],
    positive: Sequence[Example],
    negative: Sequence[Example],
    *,
    strategy: Strategy,
    wanted: Wanted,
) -> Steps[Hits[T]]:
    """What is like the positive examples and unlike the negative ones, without the examples themselves."""
    if not positive and (strategy == "average_vector" or not negative):
        raise SettingsError("recommend needs at least one positive example; with best_score or sum_scores, one of any")
    deadline = Deadline(wanted.find.read)
    payload = session.hits.fields(wanted.find.payload, text=wanted.text)
    where = yield from session.where.resolve(wanted.where)
    examples = yield from _examples(session, [*positive, *negative], wanted, deadline)
    ask = Recommended(tuple(examples[: len(positive)]), tuple(examples[len(positive) :]), strategy)
    options = replace(wanted.find, where=where, payload=payload, read=deadline.left())
    [points] = yield from read(lambda reads: reads.query([ask], options))
    return session.hits.hits(points)


def _examples(
    session: Session[T], given: Sequence[Example], wanted: Wanted, deadline: Deadline
) -> Steps[list[PointId | NDArray[np.float32]]]:
    """Point ids and vectors, in the order given. Raises SettingsError, PassageNotFoundError."""
    _check_examples(given)
    names = [one for one in given if isinstance(one, str)]
    points = iter((yield from there(session, names, deadline.left())) if names else [])
    texts = [one.encoder_text for one in given if isinstance(one, Passage)]
    encoded = (yield from encode_passages(texts)) if texts else ()
    vectors: Iterator[NDArray[np.float32]] = iter(encoded)
    return [next(points) if isinstance(one, str) else next(vectors) for one in given]


def _check_examples(given: Sequence[object]) -> None:
    for one in given:
        if not isinstance(one, str | Passage):
            raise SettingsError(f"an example is the id of a passage, or a Passage; got {type(one).__name__}")
