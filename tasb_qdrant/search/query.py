"""Searching, written once for both searchers: from queries to hits, as steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.questions import (
    Ask,
    Diverse,
    FindOptions,
    Fused,
    Lexical,
    Nearest,
    Where,
)
from tasb_qdrant.filters import Filter, format_filter
from tasb_qdrant.records import HitGroup
from tasb_qdrant.search.deadline import Deadline
from tasb_qdrant.search.effects import Steps, encode_queries, read
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.options import Wanted, at
from tasb_qdrant.search.session import Session

T = TypeVar("T")


def search(session: Session[T], queries: Sequence[str], wanted: Wanted) -> Steps[list[Hits[T]]]:
    """For each query its hits, best first: those that the cache hasn't are encoded together and sent as one."""
    deadline = Deadline(wanted.find.read)
    payload = session.hits.fields(wanted.find.payload, text=wanted.text)
    where = yield from session.where.resolve(wanted.where)
    found: dict[int, Hits[T]] = {}
    keys = [_key(query, where, wanted) for query in queries] if session.cache.on else []
    for index, key in enumerate(keys):
        for points in session.cache.get(key):
            found[index] = session.hits.hits(points, cached=True)
    missing = [index for index in range(len(queries)) if index not in found]
    if missing:
        asks = yield from _asks(session, [queries[index] for index in missing], wanted)
        options = replace(wanted.find, where=where, payload=payload, read=deadline.left())
        answers = yield from read(lambda reads: reads.query(asks, options))
        for index, points in zip(missing, answers, strict=True):
            if keys:
                session.cache.put(keys[index], points)
            found[index] = session.hits.hits(points, cached=False)
    return [found[index] for index in range(len(queries))]


def search_groups(session: Session[T], query: str, wanted: Wanted, *, by: str, size: int) -> Steps[list[HitGroup[T]]]:
    """The best hits of each value of a field, the group with the best hit first."""
    deadline = Deadline(wanted.find.read)
    payload = session.hits.fields(wanted.find.payload, text=wanted.text)
    where = yield from session.where.resolve(wanted.where)
    [ask] = yield from _asks(session, [query], wanted)
    options = replace(wanted.find, where=where, payload=payload, read=deadline.left())
    groups = yield from read(lambda reads: reads.query_groups(ask, options, by=by, size=size))
    return [HitGroup(group.value, session.hits.hits(group.points)) for group in groups]


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a walk through the hits of one query is. `seen` keeps a hit from coming twice: an approximate search of
    more may rank them anew."""

    ask: Ask
    where: Where | None
    wanted: Wanted
    size: int
    seen: frozenset[PointId] = frozenset()
    done: bool = False


def begin_pages(session: Session[T], query: str, wanted: Wanted) -> Steps[Paging]:
    """Before the first page."""
    where = yield from session.where.resolve(wanted.where)
    [ask] = yield from _asks(session, [query], wanted)
    return Paging(ask, where, wanted, size=wanted.find.limit)


def next_page(session: Session[T], paging: Paging) -> Steps[tuple[Hits[T], Paging]]:
    """The page, and what the next one goes on from."""
    wanted, find = paging.wanted, paging.wanted.find
    options = replace(
        find,
        where=paging.where,
        payload=session.hits.fields(find.payload, text=wanted.text),
        read=Deadline(find.read).left(),
    )
    ask = _with_depth(paging.ask, wanted)
    [points] = yield from read(lambda reads: reads.query([ask], options))
    fresh = [point for point in points if point.id not in paging.seen]
    following = replace(
        paging,
        wanted=at(wanted, limit=paging.size, offset=find.offset + len(points)),
        seen=paging.seen.union(point.id for point in fresh),
        done=len(points) < find.limit,
    )
    return session.hits.hits(fresh), following


def _asks(session: Session[T], queries: Sequence[str], wanted: Wanted) -> Steps[list[Ask]]:
    """The queries as the store takes them."""
    if wanted.mode == "bm25":
        return [session.lexical.query(query) for query in queries]
    words = [session.lexical.query(query) for query in queries] if wanted.mode == "hybrid" else []
    vectors = yield from encode_queries(queries)
    nearest = [Nearest(vector) for vector in vectors]
    if words:
        return [_fused(dense, sparse, wanted) for dense, sparse in zip(nearest, words, strict=True)]
    if wanted.diversity is not None:
        return [Diverse(dense, wanted.diversity, candidates=wanted.candidates) for dense in nearest]
    return list(nearest)


def _fused(dense: Nearest, sparse: Lexical, wanted: Wanted) -> Ask:
    return Fused((dense, sparse), method=wanted.fusion, weights=wanted.weights, depth=wanted.candidates)


def _with_depth(ask: Ask, wanted: Wanted) -> Ask:
    """The same, deep enough for the page."""
    if isinstance(ask, Fused):
        return replace(ask, depth=wanted.candidates)
    if isinstance(ask, Diverse):
        return replace(ask, candidates=wanted.candidates)
    return ask


def _key(query: str, where: Where | None, wanted: Wanted) -> Hashable:
    """Everything that an answer depends on, but for what the collection holds."""
    if where is None or isinstance(where, Filter):
        written = "" if where is None else format_filter(where)
    else:
        written = "client's " + where.model_dump_json(exclude_none=True)
    asked: FindOptions = wanted.find
    return query, written, replace(wanted, where=None, find=replace(asked, where=None))
