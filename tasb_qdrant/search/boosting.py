"""Searches that a formula ranks anew: the candidates are read with the fields that it needs, and the hits filled in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from tasb_qdrant.collection.reads.grouping import group_listed
from tasb_qdrant.collection.reads.questions import PointGroup, Query, QueryOptions, ScoredPoint
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records.path import Segment, parse_path, qdrant_path, write_path
from tasb_qdrant.search.boost import DEPTH
from tasb_qdrant.search.ranking import Ranking
from tasb_qdrant.search.session import Session
from tasb_qdrant.steps import StoreSteps

T = TypeVar("T")


def check_depth(ranking: Ranking, *, limit: int = 10, offset: int = 0) -> None:
    """Refuse to look for hits beyond the candidates that are ranked anew. Raises SettingsError."""
    depth = ranking.depth or DEPTH
    if ranking.boost is not None and offset + limit > depth:
        raise SettingsError(
            f"boost ranks the best {depth:,} candidates anew, and offset and limit ask for {offset + limit:,}; ask for "
            "fewer, or say a larger depth"
        )


def candidates_of(ranking: Ranking, wanted: QueryOptions) -> QueryOptions:
    """The options with which candidates are read; the same as `wanted` without a boost.

    They are as many wherever the wanted part of the list is: its parts are parts of one list. Where a server gives
    fewer at once, they are read in parts.
    """
    if ranking.boost is None:
        return wanted
    read = [*ranking.boost.fields, *([ranking.best_per] if ranking.best_per else [])]
    return replace(
        wanted,
        limit=ranking.depth or DEPTH,
        offset=0,
        score_threshold=None,
        payload=_whole_fields(read) or False,
        vectors=False,
        in_parts=True,
    )


def boosted(
    session: Session[T], queries: Sequence[Query], ranking: Ranking, wanted: QueryOptions
) -> StoreSteps[list[dict[Hashable, ScoredPoint]]]:
    """For each query its points, best first, by what must not come twice: their ids, or the values of a field."""
    lists = yield from _ranked(session, queries, ranking, wanted)
    end = wanted.offset + wanted.limit
    found: list[dict[Hashable, ScoredPoint]] = []
    for points in lists:
        if (by := ranking.best_per) is None:
            found.append({point.id: point for point in points[wanted.offset : end]})
        else:
            groups = group_listed(points, by=by, limit=end, size=1)[wanted.offset :]
            found.append({("value", group.value): group.points[0] for group in groups})
    stored = yield from _filled(session, [point for answer in found for point in answer.values()], wanted)
    return [
        {key: replace(stored[point.id], score=point.score) for key, point in answer.items() if point.id in stored}
        for answer in found
    ]


def boosted_groups(
    session: Session[T], query: Query, ranking: Ranking, wanted: QueryOptions, *, by: str, size: int
) -> StoreSteps[list[PointGroup]]:
    """The groups among the candidates, in the order of their best points."""
    [points] = yield from _ranked(session, [query], replace(ranking, best_per=by), wanted)
    groups = group_listed(points, by=by, limit=wanted.limit, size=size)
    stored = yield from _filled(session, [point for group in groups for point in group.points], wanted)
    filled = [
        [replace(stored[point.id], score=point.score) for point in group.points if point.id in stored]
        for group in groups
    ]
    return [PointGroup(group.value, members) for group, members in zip(groups, filled, strict=True) if members]


def _ranked(
    session: Session[T], queries: Sequence[Query], ranking: Ranking, wanted: QueryOptions
) -> StoreSteps[list[list[ScoredPoint]]]:
    """All candidates of each query that reach the threshold, by their new scores."""
    boost, least = ranking.boost, wanted.score_threshold
    lists = yield from session.reads.query(queries, candidates_of(ranking, wanted))
    every = lists if boost is None else [boost.ranked(points) for points in lists]
    return every if least is None else [[point for point in points if point.score >= least] for points in every]


def _filled(
    session: Session[T], points: Sequence[ScoredPoint], wanted: QueryOptions
) -> StoreSteps[dict[object, ScoredPoint]]:
    """The points as hits want them, but for those that were deleted in the meantime."""
    ids = list(dict.fromkeys(point.id for point in points))
    stored = yield from session.reads.retrieve(ids, payload=wanted.payload, vectors=wanted.vectors, read=wanted.read)
    return {point.id: point for point in stored}


def _whole_fields(paths: Sequence[str]) -> tuple[str, ...]:
    """The fields at the top of the payload that the paths begin with, as Qdrant spells them."""
    tops = [write_path([Segment(parse_path(path)[0].name)]) for path in paths]
    return tuple(dict.fromkeys(qdrant_path(top) for top in tops))
