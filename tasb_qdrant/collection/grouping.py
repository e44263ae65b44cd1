"""Points by the values of a payload field, as Qdrant's servers group them.

A value is a string or an integer (or several, in an array); points with another kind, or none, are in no
group. Groups come in the order of their best point, and in that of their values where they share it.

Where a store doesn't group by itself, `group_more` finds the same groups, exactly as far as its queries are:
1. The best candidates are read, twice as many as the points wanted. The groups among them are the best ones.
2. While groups are missing: the best candidates that have a value not seen yet are read, and tell new groups.
   Each round finds one at least, or reads four times as many (an array of seen values can pass the filter,
   where it has strings and integers), or reads fewer than it asked for and is the last.
3. Groups that aren't full, and may have more points, are asked for one by one, in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from tasb_qdrant.collection.composing import id_order
from tasb_qdrant.collection.protocol import MAX_COUNT
from tasb_qdrant.collection.read_wire import Find
from tasb_qdrant.collection.request import FoundGroup, FoundPoint
from tasb_qdrant.filters.path import Segment, parse_path

R = TypeVar("R")

Value = str | int

LEAST_CANDIDATES: Final = 100


def group_listed(points: Sequence[FoundPoint], *, by: str, limit: int, size: int) -> list[FoundGroup]:
    """The groups of these points, best first, in their order: that of a list, whatever its scores are."""
    path = parse_path(by)
    groups: dict[Value, list[FoundPoint]] = {}
    for point in points:
        for value in sorted(set(_values(point.payload or {}, path)), key=value_order):
            groups.setdefault(value, []).append(point)
    return [FoundGroup(value, members[:size]) for value, members in list(groups.items())[:limit]]


def group_more(
    find: Find, *, by: str, limit: int, size: int, query: Callable[[Sequence[Find]], R]
) -> Generator[Sequence[R], list[Any], list[FoundGroup]]:
    """The groups, asked for as the module says. `find` is to bring the payload field `by` along."""
    count = min(max(LEAST_CANDIDATES, 2 * limit * size), MAX_COUNT)
    path = parse_path(by)
    ranked: dict[int | str, FoundPoint] = {}
    seen: set[Value] = set()
    rounds = 0
    while True:
        narrowed = replace(find, limit=count, where=_except(find, by, seen))
        ((points,),) = yield [query([narrowed])]
        fresh = {value for point in points for value in _values(point.payload or {}, path)} - seen
        ranked.update((point.id, point) for point in points)
        rounds += 1
        seen |= fresh
        if len(points) < count or len(seen) >= limit:
            break
        if not fresh:
            count = min(4 * count, MAX_COUNT)
    best_first = sorted(ranked.values(), key=lambda point: (-point.score, id_order(point.id)))
    groups = group_listed(best_first, by=by, limit=limit, size=size)
    if rounds == 1 and len(points) < count:
        return groups
    # A later round leaves out points of the earlier groups, so that what makes them full may not be their best.
    asked = [group for group in groups if len(group.points) < size or rounds > 1]
    if not asked:
        return groups
    finds = [replace(find, limit=size, where=_only(find, by, group.value)) for group in asked]
    (lists,) = yield [query(finds)]
    found = {group.value: points for group, points in zip(asked, lists, strict=True)}
    return [FoundGroup(group.value, found.get(group.value, group.points)) for group in groups]


def in_order(groups: Sequence[FoundGroup]) -> list[FoundGroup]:
    """By their best points; groups that share theirs, which stores leave in any order, by their values."""
    return sorted(groups, key=lambda group: (-group.points[0].score, value_order(group.value)))


def value_order(value: Value) -> tuple[bool, Value]:
    """Integers first, then strings."""
    return isinstance(value, str), value


def _except(find: Find, by: str, seen: set[Value]) -> Any:
    """The find's filter, for points with a value that is not among those seen."""
    from qdrant_client import models

    conditions: list[Any] = [] if find.where is None else [find.where]
    for kind in (str, int):
        if values := sorted(value for value in seen if isinstance(value, kind)):
            others = models.MatchExcept.model_validate({"except": values})
            conditions.append(models.FieldCondition(key=by, match=others))
    return models.Filter(must=conditions) if conditions else None


def _only(find: Find, by: str, value: Value) -> Any:
    from qdrant_client import models

    conditions: list[Any] = [] if find.where is None else [find.where]
    return models.Filter(must=[*conditions, models.FieldCondition(key=by, match=models.MatchValue(value=value))])


def _values(payload: Mapping[str, Any], path: Sequence[Segment]) -> Iterator[Value]:
    """The strings and integers at the path. An array at its end stands for its elements, one level deep."""
    for found in _at(payload, path):
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
                yield value


def _at(value: Any, path: Sequence[Segment]) -> Iterator[Any]:
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
        yield from _at(each, rest)
