"""Reading a collection without a query, written once for both searchers: by id, by page, by count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypedDict, TypeVar

from tasb_qdrant.collection.points import PointId, checked_ids
from tasb_qdrant.collection.reads.ordered import Ordered
from tasb_qdrant.collection.reads.questions import OrderBy, ReadOptions, Selection, Where, check_count
from tasb_qdrant.errors import PassageNotFoundError, RequestRefusedError
from tasb_qdrant.records import FacetCount, Hit
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.options import Filterable
from tasb_qdrant.search.ranking import payload_fields
from tasb_qdrant.search.session import Session
from tasb_qdrant.steps import Steps

T = TypeVar("T")

PAGE_SIZE: Final = 256
"""Passages of each request of a walk."""


def count(
    session: Session[T], where: Filterable | None = None, *, exact: bool = True, timeout: float | None = None
) -> Steps[int]:
    """How many passages match."""
    read = ReadOptions(timeout=timeout)
    resolved = yield from session.where.resolve(where)
    return (yield from session.reads.count(resolved, exact=exact, read=read))


def facet(
    session: Session[T],
    name: str,
    *,
    where: Filterable | None = None,
    limit: int = 10,
    exact: bool = True,
    timeout: float | None = None,
) -> Steps[list[FacetCount]]:
    """The most frequent values of a payload field."""
    check_count("limit", limit, least=1)
    read = ReadOptions(timeout=timeout)
    resolved = yield from session.where.resolve(where)
    found = yield from session.reads.facet(name, where=resolved, limit=limit, exact=exact, read=read)
    if not found:
        yield from session.where.check_field(name)
    return found


def get(
    session: Session[T], ids: Iterable[str], *, with_vectors: bool = False, timeout: float | None = None
) -> Steps[dict[str, Hit[T]]]:
    """Those of the passages that are there, by their id, in the order asked for."""
    wanted = checked_ids(ids)
    read = ReadOptions(timeout=timeout)
    points = [session.collection.point_id(name) for name in wanted]
    payload = session.hits.fields(True)
    found = yield from session.reads.retrieve(points, payload=payload, vectors=with_vectors, read=read)
    by_point = {point.id: point for point in found}
    pairs = [(name, by_point[point]) for name, point in zip(wanted, points, strict=True) if point in by_point]
    return {name: session.hits.hit(point) for name, point in pairs}


def required(session: Session[T], ids: Sequence[str], read: ReadOptions) -> Steps[list[PointId]]:
    """The point ids of passages that must be there with their vectors. Raises PassageNotFoundError, and
    RequestRefusedError for one without."""
    points = [session.collection.point_id(name) for name in ids]
    found = yield from session.reads.retrieve(points, payload=False, vectors=True, read=read)
    known = {point.id: point.vector for point in found}
    if missing := [name for name, point in zip(ids, points, strict=True) if point not in known]:
        raise PassageNotFoundError(session.collection.name, missing, document_field=session.document_field)
    # A server would leave it out of an average, without a word.
    if bare := [name for name, point in zip(ids, points, strict=True) if known[point] is None]:
        raise RequestRefusedError(
            f"collection {session.collection.name!r}: passage {bare[0][:100]!r} is stored without its vector, so that "
            "nothing can be found that is like it; ingest its source again, which stores what is missing"
        )
    return points


@dataclass(frozen=True, slots=True)
class Scrolling:
    """Where a walk through the passages is: `start` is the next id, or `ordered` how far it has come in its order."""

    where: Where | None
    ordered: Ordered | None
    size: int
    payload: Selection
    vectors: bool
    read: ReadOptions
    start: PointId | None = None
    done: bool = False


def begin_scroll(
    session: Session[T],
    where: Filterable | None = None,
    *,
    order_by: str | None = None,
    descending: bool = False,
    page_size: int = PAGE_SIZE,
    with_payload: bool | Iterable[str] = True,
    with_vectors: bool = False,
    timeout: float | None = None,
) -> Steps[Scrolling]:
    """Before the first page."""
    check_count("page_size", page_size, least=1)
    payload = session.hits.fields(payload_fields(with_payload))
    read = ReadOptions(timeout=timeout)
    resolved = yield from session.where.resolve(where)
    yield from session.reads.state.refreshed()
    size = session.reads.page_size(page_size, usual=PAGE_SIZE)
    ordered = None
    if order_by is not None:
        ordered = yield from session.reads.begin_order(OrderBy(order_by, descending))
    return Scrolling(resolved, ordered, size, payload, with_vectors, read)


def next_scroll(session: Session[T], at: Scrolling) -> Steps[tuple[Hits[T], Scrolling]]:
    """The page, and what the next one goes on from."""
    shown: _Shown = {"limit": at.size, "payload": at.payload, "vectors": at.vectors, "read": at.read}
    if at.ordered is None:
        page = yield from session.reads.scroll(at.where, start=at.start, **shown)
        return session.hits.hits(page.points), replace(at, start=page.following, done=page.following is None)
    points, ordered = yield from session.reads.scroll_ordered(at.ordered, at.where, **shown)
    if ordered is None and not points and at.ordered.reached is None:
        yield from session.where.check_field(at.ordered.order.field)
    return session.hits.hits(points), replace(at, ordered=ordered, done=ordered is None)


class _Shown(TypedDict):
    """What every page is asked for."""

    limit: int
    payload: Selection
    vectors: bool
    read: ReadOptions
