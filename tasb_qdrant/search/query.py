"""Searching, written once for both searchers: from queries to hits, as steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar, Unpack

from tasb_qdrant.collection.reads.questions import (
    DEPTH,
    Lexical,
    Nearest,
    Query,
    QueryOptions,
    ScoredPoint,
    Words,
)
from tasb_qdrant.filters import Filter, format_filter
from tasb_qdrant.keywords import chosen
from tasb_qdrant.records import HitGroup
from tasb_qdrant.search.boosting import boosted, boosted_groups, candidates_of, check_depth
from tasb_qdrant.search.fields import GROUPED, whole_field_path
from tasb_qdrant.search.hits import HitGroups, Hits
from tasb_qdrant.search.options import PartOptions, RankedOptions, SearchOptions
from tasb_qdrant.search.ranking import Ranking, query_options
from tasb_qdrant.search.session import Session
from tasb_qdrant.settings import checks
from tasb_qdrant.settings.checks import MAX_COUNT
from tasb_qdrant.steps import Steps, encode_queries, together

T = TypeVar("T")

WALK: Final = 1_000
"""Hits of the second block of a walk through pages, and candidates of each hybrid list for all of it."""

_DEEPER: Final = 4
"""How many times as many hits the next block has."""


def search(session: Session[T], texts: Sequence[str], options: SearchOptions) -> Steps[list[Hits[T]]]:
    """For each query its hits, best first: those that the cache hasn't are encoded together and sent as one."""
    ranking = Ranking.of(options, diversity=options.get("diversity"), best_per=options.get("best_per"))
    check_depth(ranking, **chosen(PartOptions, options))
    wanted, warnings = yield from _wanted(session, options, ranking, **chosen(PartOptions, options))
    found: dict[int, Hits[T]] = {}
    keys = [_key(session, text, ranking, wanted) for text in texts] if session.cache.on else []
    for index, key in enumerate(keys):
        if (points := session.cache.get(key)) is not None:
            found[index] = session.hits.hits(points, cached=True, warnings=warnings)
    missing = [index for index in range(len(texts)) if index not in found]
    if missing:
        queries = yield from _queries(session, [texts[index] for index in missing], ranking, wanted, limit=wanted.limit)
        answers = yield from _answers(session, queries, ranking, wanted)
        for index, answer in zip(missing, answers, strict=True):
            points = list({point.id: point for point in answer.values()}.values())
            if keys:
                session.cache.put(keys[index], points)
            found[index] = session.hits.hits(points, warnings=warnings)
    return [found[index] for index in range(len(texts))]


def search_groups(
    session: Session[T], text: str, *, by: str, group_size: int = 3, limit: int = 10, **options: Unpack[RankedOptions]
) -> Steps[HitGroups[T]]:
    """The best hits of each value of a field, the group with the best hit first."""
    ranking = Ranking.of(options)
    field, size = whole_field_path("by", by), checks.whole("group_size", group_size, least=1)
    wanted, warnings = yield from _wanted(session, options, ranking, limit=limit)
    warnings += yield from session.where.check_use(field, GROUPED)
    if ranking.boost is not None:
        session.reads.check_page("group_size", size)
    [query] = yield from _queries(session, [text], ranking, wanted, limit=limit * size)
    if ranking.boost is not None:
        groups = yield from boosted_groups(session, query, ranking, wanted, by=field, size=size)
    else:
        groups = yield from session.reads.query_groups(query, wanted, by=field, size=size)
    found = [HitGroup(group.value, session.hits.hits(group.points)) for group in groups]
    return HitGroups(found, warnings=warnings, notes=session.notes)


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a walk through the hits of one query is.

    It goes by blocks of the list: `block` is what of the last one is still to be given, and `depth` how many hits that
    one was asked for. `seen` are points and documents that don't come again: a deeper approximate search may rank them
    differently. `ended` says that there is no other block.
    """

    query: Query
    ranking: Ranking
    wanted: QueryOptions
    warnings: tuple[str, ...] = ()
    block: tuple[ScoredPoint, ...] = ()
    depth: int = 0
    seen: frozenset[Hashable] = frozenset()
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether everything was given."""
        return self.ended and not self.block


def begin_pages(
    session: Session[T],
    text: str,
    *,
    page_size: int = 10,
    best_per: str | None = None,
    **options: Unpack[RankedOptions],
) -> Steps[Paging]:
    """Before the first page."""
    ranking = Ranking.of(options, best_per=best_per)
    wanted, warnings = yield from _wanted(session, options, ranking, limit=page_size)
    [query] = yield from _queries(session, [text], ranking, wanted, limit=page_size, least=WALK)
    return Paging(query, ranking, wanted, warnings)


def next_page(session: Session[T], at: Paging) -> Steps[tuple[Hits[T], Paging]]:
    """The page, and what the next one goes on from."""
    size = at.wanted.limit
    while len(at.block) < size and not at.ended:
        at = yield from _next_block(session, at)
    page, rest = at.block[:size], at.block[size:]
    filled = yield from session.reads.shown(page, at.wanted)
    return session.hits.hits(filled, warnings=at.warnings), replace(at, block=rest)


def _next_block(session: Session[T], at: Paging) -> Steps[Paging]:
    """With more of the list to give. The first block is the first page, for those who want no other."""
    wanted = at.wanted
    depth = wanted.limit if not at.depth else min(max(WALK, _DEEPER * at.depth), MAX_COUNT)
    asked = replace(wanted, limit=depth, in_parts=bool(at.depth))
    if at.depth:
        asked = replace(asked, payload=False, vectors=False)
    [answer] = yield from _answers(session, [at.query], at.ranking, asked)
    short = len(answer) < depth
    if short and _approximate(session, at, asked):
        # The vector index may not lead to every passage: the rest of the list is made of all of them.
        wanted = replace(wanted, exact=True)
        [answer] = yield from _answers(session, [at.query], at.ranking, replace(asked, exact=True))
        short = len(answer) < depth
    # The same point may be the best of several documents.
    fresh = {point.id: point for key, point in answer.items() if key not in at.seen and point.id not in at.seen}
    return replace(
        at,
        wanted=wanted,
        block=(*at.block, *fresh.values()),
        depth=depth,
        seen=at.seen.union(answer, fresh),
        ended=short or depth == MAX_COUNT,
    )


def _approximate(session: Session[T], at: Paging, asked: QueryOptions) -> bool:
    """Whether a list that came to its end may lack passages. Not by a threshold: to compare with every vector would
    take long, where few are wanted."""
    return (
        at.depth > 0
        and at.ranking.mode != "bm25"
        and at.ranking.boost is None
        and not asked.exact
        and asked.score_threshold is None
        and session.reads.compares_exactly
    )


def _answers(
    session: Session[T], queries: Sequence[Query], ranking: Ranking, wanted: QueryOptions
) -> Steps[list[dict[Hashable, ScoredPoint]]]:
    """For each query its points by what must not come twice: their ids, or the values of a field."""
    if ranking.boost is not None:
        return (yield from boosted(session, queries, ranking, wanted))
    if (field := ranking.best_per) is None:
        lists = yield from session.reads.query(queries, wanted)
        return [{point.id: point for point in points} for points in lists]
    plans = [session.reads.query_groups(query, wanted, by=field, size=1) for query in queries]
    grouped = yield from together(plans)
    return [{("value", group.value): group.points[0] for group in groups} for groups in grouped]


def _wanted(
    session: Session[T], options: RankedOptions, ranking: Ranking, **part: Unpack[PartOptions]
) -> Steps[tuple[QueryOptions, tuple[str, ...]]]:
    """The options as a value, checked before anything is encoded, and what of them looks like a slip."""
    wanted = query_options(session.hits, options, **part)
    # Before the cache answers, and before anything is judged by the limits and fields, or encoded.
    yield from session.reads.state.refreshed()
    session.reads.check_page("depth", ranking.depth)
    if ranking.boost is not None:  # whose candidates are read in parts, however many are wanted of them
        session.reads.check_page("limit", wanted.limit)
    warnings: tuple[str, ...] = ()
    if wanted.where is not None:
        warnings += yield from session.where.check(wanted.where)
    if isinstance(wanted.payload, tuple):
        warnings += yield from session.where.check_fields(wanted.payload)
    if ranking.boost is not None:
        warnings += yield from session.where.check_fields(ranking.boost.fields)
    if ranking.best_per is not None:  # by a field that isn't there, nothing would be found
        warnings += yield from session.where.check_use(ranking.best_per, GROUPED)
    return wanted, warnings


def _queries(
    session: Session[T],
    texts: Sequence[str],
    ranking: Ranking,
    wanted: QueryOptions,
    *,
    limit: int,
    least: int = DEPTH,
) -> Steps[list[Query]]:
    """The texts as the store takes them, with candidates for so many hits."""
    lexical: list[Lexical | Words | None] = [None] * len(texts)
    if ranking.mode != "dense":
        for index, text in enumerate(texts):
            lexical[index] = yield from session.lexical.query(text)
    if ranking.mode == "bm25":
        return [query for query in lexical if query is not None]
    vectors = yield from encode_queries(texts)
    if ranking.boost is not None:
        limit = candidates_of(ranking, wanted).limit
    return [
        ranking.query(Nearest(vector), each, limit=limit, least=least)
        for vector, each in zip(vectors, lexical, strict=True)
    ]


def _key(session: Session[T], text: str, ranking: Ranking, wanted: QueryOptions) -> Hashable:
    """Everything that an answer depends on, except what the collection holds."""
    where = wanted.where
    if where is None or isinstance(where, Filter):
        written = "" if where is None else format_filter(where)
    else:
        written = "client's " + where.model_dump_json(exclude_none=True)
    return session.collection.identity, text, written, ranking, replace(wanted, where=None)
