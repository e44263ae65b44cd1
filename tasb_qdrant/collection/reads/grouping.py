"""Points by the values of a payload field, as Qdrant's servers group them, but by as many queries as it takes.

A value is a string or an integer (or several, in an array); points with another kind, or none, are in no
group. Groups come in the order of their best point, and in that of their values where they share it.

Servers group by a bounded number of queries, pick any of the groups that share their best point where they
cut, and the embedded engine has no groups. `group_more` finds them over any store, as exactly as it answers:
1. The best candidates with a value are read, twice as many as the points wanted: the groups among them are
   the best ones.
2. While groups are missing: the best candidates that have a value not seen yet are read, and tell new groups.
   A round that finds none (an array of seen strings and integers passes the filter, and so do numbers with a
   fraction) is followed by one of four times as many, up to 10,000. One that reads fewer than it asked for is
   the last. Once more values are seen than a request should name, the list itself is read on.
3. Groups that may have better points than those read are asked for, one by one, in one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from tasb_qdrant.collection.exceeded import condition_sizes
from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.fusion import by_score
from tasb_qdrant.collection.reads.questions import PointGroup, ScoredPoint
from tasb_qdrant.collection.reads.ranked import Find
from tasb_qdrant.collection.reads.wire import QueryRequest
from tasb_qdrant.records.path import Segment, parse_path
from tasb_qdrant.steps import StoreSteps

Value = str | int

LEAST_CANDIDATES: Final = 100

MOST_CANDIDATES: Final = 10_000

MOST_EXCEPT: Final = 2_000
"""Values that a request names at most: 80 kB of ids."""


def group_listed(points: Sequence[ScoredPoint], *, by: str, limit: int, size: int) -> list[PointGroup]:
    """The groups of these points, best first, in their order: that of a list, whatever its scores are."""
    path = parse_path(by)
    groups: dict[Value, list[ScoredPoint]] = {}
    for point in points:
        for value in sorted(set(values_of(point.payload or {}, path)), key=value_order):
            groups.setdefault(value, []).append(point)
    return [PointGroup(value, members[:size]) for value, members in list(groups.items())[:limit]]


def group_more(
    request: QueryRequest, *, by: str, limit: int, size: int, limits: StoreLimits, find: Find
) -> StoreSteps[list[PointGroup]]:
    """The groups, found as the module says. `request` is to bring the payload field `by` along, and `find` gives
    points by score and then by id. Where the values seen are too many for a filter, the list itself is read on."""
    count = max(LEAST_CANDIDATES, 2 * limit * size)
    ranked: dict[PointId, ScoredPoint] = {}
    groups: list[PointGroup] = []
    rounds, deep = 0, 0
    while True:
        seen = [group.value for group in groups]
        others = _others(request, by, seen if len(groups) <= MOST_EXCEPT else [], limits)
        some = others.named or not seen
        narrowed = replace(request, limit=count, offset=0 if some and rounds else deep, where=others.where)
        (points,) = yield from find([narrowed])
        rounds += 1
        deep += 0 if some and rounds > 1 else count
        ranked.update((point.id, point) for point in points)
        before = len(groups)
        groups = group_listed(_ordered(ranked.values()), by=by, limit=limit, size=size)
        if len(points) < count or len(groups) >= limit:
            break
        if some and len(groups) == before:
            if count >= MOST_CANDIDATES:
                break
            count = min(4 * count, MOST_CANDIDATES)
    # A later round leaves out points of the earlier groups, so that what makes them full may not be their best.
    later = rounds > 1 and size > 1
    whole = rounds == 1 and len(points) < count
    asked = [] if whole else [group for group in groups if len(group.points) < size or later]
    if not asked:
        return groups
    requests = [replace(request, limit=size, where=_only(request, by, group.value)) for group in asked]
    lists = yield from find(requests)
    found = {group.value: points for group, points in zip(asked, lists, strict=True)}
    return [PointGroup(group.value, found.get(group.value, group.points)) for group in groups]


def _ordered(points: Iterable[ScoredPoint]) -> list[ScoredPoint]:
    return sorted(points, key=by_score)


def value_order(value: Value) -> tuple[bool, Value]:
    """Integers first, then strings."""
    return isinstance(value, str), value


class _Others(NamedTuple):
    """A filter, and whether it names values that are left out."""

    where: Any
    named: bool


def _others(request: QueryRequest, by: str, seen: Sequence[Value], limits: StoreLimits) -> _Others:
    """The request's filter, for points with a value that is not among those seen: or with any, where these are too
    many for the limits of a filter."""
    from qdrant_client import models

    asked: list[Any] = [] if request.where is None else [request.where]
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=by))
    others: list[Any] = []
    for kind in (str, int):
        values = [value for value in seen if isinstance(value, kind)]
        size = limits.condition_size or len(values)
        for start in range(0, len(values), size or 1):
            excepted = models.MatchExcept.model_validate({"except": values[start : start + size]})
            others.append(models.FieldCondition(key=by, match=excepted))
    narrowed = models.Filter(must=[*asked, *others] or None, must_not=[empty])
    if limits.conditions is not None and len(condition_sizes(narrowed)) > limits.conditions:
        return _Others(models.Filter(must=asked or None, must_not=[empty]), False)
    return _Others(narrowed, bool(others))


def _only(request: QueryRequest, by: str, value: Value) -> Any:
    from qdrant_client import models

    conditions: list[Any] = [] if request.where is None else [request.where]
    return models.Filter(must=[*conditions, models.FieldCondition(key=by, match=models.MatchValue(value=value))])


def values_of(payload: Mapping[str, Any], path: Sequence[Segment]) -> Iterator[Value]:
    """The strings and integers at the path. An array at its end stands for its elements, one level deep."""
    for value in scalars_at(payload, path):
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            yield value


def scalars_at(payload: Mapping[str, Any], path: Sequence[Segment]) -> Iterator[Any]:
    """Every value at the path. An array at its end stands for its elements, one level deep."""
    for found in values_at(payload, path):
        yield from found if isinstance(found, list) else [found]


def values_at(value: Any, path: Sequence[Segment]) -> Iterator[Any]:
    """What is at the path, whatever it is."""
    if not path:
        yield value
        return
    segment, rest = path[0], path[1:]
    if not isinstance(value, Mapping) or segment.name not in value:
        return
    found = [value[segment.name]]
    for position in segment.elements:
        arrays = [each for each in found if isinstance(each, list)]
        if position is None:
            found = [element for array in arrays for element in array]
        else:
            found = [array[position] for array in arrays if position < len(array)]
    for each in found:
        yield from values_at(each, rest)
