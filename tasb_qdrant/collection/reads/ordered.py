"""A walk through points in the order of a field's values, each once, equal values in the order of ids.

Stores say where to go on by a value alone, as a double: integers beyond 2**53 share one with up to 1,023 others, points
share values, and a point with several values comes with each of them. So a walk goes on like this:
1. A page is asked for from the last value on, without the points that have a value up to it. Only the values of which
   the page surely has every point are taken from it. Of integers that share the last one's double, those taken are
   named in the request: 1,024 at most.
2. Where one value fills a whole page, its points are read by ids until there are no more.
Every request is of bounded size, and every page either goes beyond the last value, or beyond the last id within one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.reads.fusion import id_order
from tasb_qdrant.collection.reads.grouping import values_at
from tasb_qdrant.collection.reads.questions import OrderBy, ScoredPoint, ScrollPage
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.settings import IndexType

if TYPE_CHECKING:
    from qdrant_client import models

Value: TypeAlias = int | float
"""As stores sort by it: dates are microseconds since 1970."""

EXACT: Final = 2**53
"""Below, every integer is a double of its own."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ordered:
    """How far such a walk has come: every point with a value up to `reached` was given (None: none yet).

    `given` are the integers that were given and share the double of `reached`. `tied` is the value whose points are
    being read by their ids, from `start` on.
    """

    order: OrderBy
    kind: IndexType
    reached: Value | None = None
    given: frozenset[int] = frozenset()
    tied: Value | None = None
    start: PointId | None = None

    def passes(self, value: Value) -> bool:
        """Whether a value comes after all that were given."""
        if self.reached is None:
            return True
        return value < self.reached if self.order.descending else value > self.reached

    def beyond(self, values: Sequence[Value]) -> Ordered:
        """After every point with these values, too, which are in order."""
        last = values[-1]
        given: frozenset[int] = frozenset()
        if self.kind == "integer" and abs(last) >= EXACT:
            near = _double(last, up=self.order.descending)
            same = [int(one) for one in (*self.given, *values) if _double(one, up=self.order.descending) == near]
            given = frozenset(same)
        return replace(self, reached=last, given=given, tied=None, start=None)

    def start_from(self) -> OrderBy:
        """The order of the next page: from the last value on, or from the nearest double before it."""
        if self.reached is None:
            return self.order
        start: float | str = (
            _moment(self.reached).isoformat()
            if self.kind == "datetime"
            else _double(self.reached, up=self.order.descending)
        )
        return replace(self.order, start_from=start)

    def narrowed(self, where: models.Filter | None) -> models.Filter | None:
        """The filter, for points that weren't given yet; and for those with the value of the tie alone."""
        if self.reached is None and self.tied is None:
            return where
        from qdrant_client import models

        must: list[Any] = [] if where is None else [where]
        if self.tied is not None:
            must += self._equal(self.tied)
        return models.Filter(must=must or None, must_not=self._given() or None)

    def _given(self) -> list[Any]:
        """Conditions, one of which a point meets that has a value up to `reached`."""
        if self.reached is None:
            return []
        from qdrant_client import models

        upto, before = ("gte", "gt") if self.order.descending else ("lte", "lt")
        if not self.given:
            return [self._range(**{upto: self.reached})]
        near = _double(self.reached, up=self.order.descending)
        named = models.FieldCondition(key=self.order.field, match=models.MatchAny(any=sorted(self.given)))
        return [self._range(**{before: near}), named]

    def _equal(self, value: Value) -> list[Any]:
        """Conditions that a point with exactly this value meets. Ranges find it by the index that orders, too."""
        if self.kind != "integer" or abs(value) < EXACT:
            return [self._range(gte=value, lte=value)]
        from qdrant_client import models

        exactly = models.FieldCondition(key=self.order.field, match=models.MatchValue(value=int(value)))
        return [self._range(gte=_double(value, up=False), lte=_double(value, up=True)), exactly]

    def _range(self, **bounds: Value) -> models.FieldCondition:
        from qdrant_client import models

        if self.kind == "datetime":
            moments = {name: _moment(value) for name, value in bounds.items()}
            return models.FieldCondition(key=self.order.field, range=models.DatetimeRange(**moments))
        return models.FieldCondition(
            key=self.order.field, range=models.Range(**{name: float(value) for name, value in bounds.items()})
        )


def taken(walk: Ordered, page: ScrollPage, *, limit: int, whole: bool) -> tuple[list[ScoredPoint], Ordered | None]:
    """The points of a page of up to `limit` that are sure to be next, and how far that is: None at the end.

    `whole` says that a page with fewer is the last one.
    """
    if not page.points:
        return [], None
    first: dict[PointId, tuple[Value, ScoredPoint]] = {}
    for point, value in zip(page.points, page.order_values, strict=True):
        if walk.passes(value):
            first.setdefault(point.id, (value, point))  # one with several values comes with each
    if not first:
        raise RequestRefusedError(
            f"the points can't be gone through in the order of {walk.order.field!r}: after the value {walk.reached!r} "
            f"the store gives {page.order_values[-1]!r} again; look at the index of that field, or order by another"
        )
    if whole and len(page.points) < limit:
        return _sorted(walk, list(first.values())), None
    last = page.order_values[-1]
    sure = [(value, point) for value, point in first.values() if value != last]
    if not sure:
        return [], replace(walk, tied=last)
    chosen = _sorted(walk, sure)
    return chosen, walk.beyond(sorted({value for value, _ in sure}, reverse=walk.order.descending))


def has_arrays(page: ScrollPage, field: str) -> bool:
    """Whether a point of the page may have several values. A store leaves out what comes twice with the same value
    after it has counted the page's points, so that a page with fewer than asked for needn't be the last."""
    path = parse_path(field)
    return any(len(segment.elements) for segment in path) or any(
        isinstance(found, list) for point in page.points for found in values_at(point.payload or {}, path)
    )


def within_tie(walk: Ordered, page: ScrollPage) -> Ordered:
    """After a page of the points of a tie."""
    if page.following is not None or walk.tied is None:
        return replace(walk, start=page.following)
    return walk.beyond([walk.tied])


def _sorted(walk: Ordered, found: list[tuple[Value, ScoredPoint]]) -> list[ScoredPoint]:
    """In the order of values, and of ids where they are equal."""
    sign = -1 if walk.order.descending else 1
    return [point for _, point in sorted(found, key=lambda one: (sign * one[0], id_order(one[1].id)))]


def _double(value: Value, *, up: bool) -> float:
    """The nearest double that isn't above the value, or with `up` not below it."""
    near = float(value)
    if up:
        return near if near >= value else math.nextafter(near, math.inf)
    return near if near <= value else math.nextafter(near, -math.inf)


def _moment(microseconds: Value) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise RequestRefusedError(
            f"the points can't be gone through in the order of a field with the moment {microseconds!r} (microseconds "
            "since 1970), which is outside the years 1 to 9999; correct it, or order by another field"
        ) from None
