"""qdrant-client's filters as the embedded engine's: every condition that the engine has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import qdrant_edge
from qdrant_client import models

from tasb_qdrant.collection.reads.many import OneOf, Span
from tasb_qdrant.errors import FilterError


def to_edge(where: models.Filter) -> qdrant_edge.Filter:
    """The same filter for qdrant_edge. Raises FilterError, naming the condition that it doesn't have."""
    return qdrant_edge.Filter(
        must=_conditions(where.must),
        should=_conditions(where.should),
        must_not=_conditions(where.must_not),
        min_should=_min_should(where.min_should),
    )


def _conditions(given: Sequence[models.Condition] | models.Condition | None) -> list[Any] | None:
    """A list, whether one condition or several were given; None for none, which both forms ignore."""
    if given is None:
        return None
    return [_condition(each) for each in (given if isinstance(given, Sequence) else [given])] or None


def _min_should(given: models.MinShould | None) -> qdrant_edge.MinShould | None:
    if given is None:
        return None
    return qdrant_edge.MinShould([_condition(each) for each in given.conditions], given.min_count)


def _condition(given: models.Condition) -> Any:
    match given:
        case models.Filter():
            return to_edge(given)
        case OneOf():
            return _one_of(given)
        case models.FieldCondition():
            return _field(given)
        case models.IsEmptyCondition():
            return qdrant_edge.IsEmptyCondition(given.is_empty.key)
        case models.IsNullCondition():
            return qdrant_edge.IsNullCondition(given.is_null.key)
        case models.HasIdCondition():
            return qdrant_edge.HasIdCondition(set(given.has_id))
        case models.HasVectorCondition():
            return qdrant_edge.HasVectorCondition(given.has_vector)
        case models.NestedCondition():
            return qdrant_edge.NestedCondition(given.nested.key, to_edge(given.nested.filter))
    raise FilterError(f"the embedded store has no {type(given).__name__}; leave it out, or use a Qdrant server (--url)")


def _one_of(given: OneOf) -> Any:
    def make(span: Span) -> Any:
        return qdrant_edge.FieldCondition(given.key, range=_span(span))

    return given.tree(make, lambda span, several: qdrant_edge.Filter(must=[make(span)], should=several))


def _span(span: Span) -> Any:
    low, high = span.low, span.high
    if isinstance(low, datetime) or isinstance(high, datetime):
        return qdrant_edge.RangeDateTime(gte=_moment(low), lte=_moment(high))  # type: ignore[arg-type]  # both are
    if span.open:
        return qdrant_edge.RangeFloat(gt=low, lt=high)
    return qdrant_edge.RangeFloat(gte=low, lte=high)


def _field(given: models.FieldCondition) -> qdrant_edge.FieldCondition:
    return qdrant_edge.FieldCondition(
        given.key,
        match=None if given.match is None else _match(given.match),
        range=None if given.range is None else _range(given.range),
        geo_bounding_box=None if given.geo_bounding_box is None else _box(given.geo_bounding_box),
        geo_radius=None if given.geo_radius is None else _circle(given.geo_radius),
        geo_polygon=None if given.geo_polygon is None else _polygon(given.geo_polygon),
        values_count=None if given.values_count is None else _count(given.values_count),
        is_empty=given.is_empty,
        is_null=given.is_null,
    )


def _value(given: models.MatchValue) -> qdrant_edge.MatchValue:
    # The engine takes Python's True for the integer 1, and numpy's for a boolean.
    value: Any = np.bool_(given.value) if isinstance(given.value, bool) else given.value
    return qdrant_edge.MatchValue(value)


_MATCHES: Final[dict[type[Any], Callable[[Any], Any]]] = {
    models.MatchValue: _value,
    models.MatchAny: lambda given: qdrant_edge.MatchAny(given.any),
    models.MatchExcept: lambda given: qdrant_edge.MatchExcept(given.except_),
    models.MatchText: lambda given: qdrant_edge.MatchText(given.text),
    models.MatchTextAny: lambda given: qdrant_edge.MatchTextAny(given.text_any),
    models.MatchPhrase: lambda given: qdrant_edge.MatchPhrase(given.phrase),
    models.MatchPrefix: lambda given: qdrant_edge.MatchPrefix(given.prefix),
    models.MatchSubstring: lambda given: qdrant_edge.MatchSubstring(given.substring),
}


def _match(given: models.Match) -> Any:
    translate = _MATCHES.get(type(given))
    if translate is None:
        raise FilterError(
            f"the embedded store has no {type(given).__name__}; leave it out, or use a Qdrant server (--url)"
        )
    return translate(given)


def _range(given: models.Range | models.DatetimeRange) -> Any:
    if isinstance(given, models.Range):
        return qdrant_edge.RangeFloat(gte=given.gte, gt=given.gt, lte=given.lte, lt=given.lt)
    return qdrant_edge.RangeDateTime(
        gte=_moment(given.gte), gt=_moment(given.gt), lte=_moment(given.lte), lt=_moment(given.lt)
    )


def _moment(when: datetime | date | None) -> str | None:
    """ISO in UTC; a naive datetime and a date are in UTC, as they are for a server."""
    if when is None:
        return None
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    return when.replace(tzinfo=UTC).isoformat() if when.tzinfo is None else when.astimezone(UTC).isoformat()


def _point(given: models.GeoPoint) -> qdrant_edge.GeoPoint:
    try:
        return qdrant_edge.GeoPoint(given.lon, given.lat)
    except ValueError:
        raise FilterError(
            f"latitude is from -90 to 90 and longitude from -180 to 180, got lat={given.lat}, lon={given.lon}"
        ) from None


def _box(given: models.GeoBoundingBox) -> qdrant_edge.GeoBoundingBox:
    return qdrant_edge.GeoBoundingBox(_point(given.top_left), _point(given.bottom_right))


def _circle(given: models.GeoRadius) -> qdrant_edge.GeoRadius:
    return qdrant_edge.GeoRadius(_point(given.center), given.radius)


def _polygon(given: models.GeoPolygon) -> qdrant_edge.GeoPolygon:
    try:
        return qdrant_edge.GeoPolygon(
            [_point(point) for point in given.exterior.points],
            [[_point(point) for point in ring.points] for ring in given.interiors or []] or None,
        )
    except ValueError as error:
        raise FilterError(f"the polygon can't be used: {error}; close each ring and give it 4 points or more") from None


def _count(given: models.ValuesCount) -> qdrant_edge.ValuesCount:
    return qdrant_edge.ValuesCount(lt=given.lt, gt=given.gt, lte=given.lte, gte=given.gte)
