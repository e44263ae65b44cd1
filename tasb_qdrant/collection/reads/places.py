"""Conditions on places as Qdrant's: right with a geo index too.

Such an index loses boxes and polygons that touch latitude 90 or longitude 180, and boxes that wrap round the globe
(measured on Qdrant 1.16.3, 1.17.0 and the embedded 0.9).
"""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client import models

from tasb_qdrant.filters.conditions import InBox, InPolygon, Within

_NEXT_TO_EDGE = 1e-9
"""Degrees, 0.1 mm: geohashes of latitude 90 and longitude 180 wrap round to -90 and -180."""

_SEAM = 179.0


def place_condition(where: Within | InBox | InPolygon, key: str) -> models.Condition:
    """The condition for qdrant-client, on the field that `key` spells as Qdrant does."""
    match where:
        case Within(_, lat, lon, metres):
            circle = models.GeoRadius(center=models.GeoPoint(lat=lat, lon=lon), radius=metres)
            return models.FieldCondition(key=key, geo_radius=circle)
        case InBox():
            return _box(key, where)
        case InPolygon(_, ring, holes):
            polygon = models.GeoPolygon(exterior=_ring(ring), interiors=[_ring(hole) for hole in holes] or None)
            return models.FieldCondition(key=key, geo_polygon=polygon)


def _ring(corners: Sequence[tuple[float, float]]) -> models.GeoLineString:
    """Closed, and moved in from where the index loses it, as boxes are."""
    points = [
        models.GeoPoint(lat=min(lat, 90 - _NEXT_TO_EDGE), lon=min(lon, 180 - _NEXT_TO_EDGE)) for lat, lon in corners
    ]
    return models.GeoLineString(points=[*points, points[0]])


def _box(key: str, box: InBox) -> models.Condition:
    """The box, its top and right edge moved in where the index loses them, and cut where it wraps."""
    top, east = min(box.top, 90 - _NEXT_TO_EDGE), 180 - _NEXT_TO_EDGE

    def part(left: float, right: float) -> models.Condition:
        corners = models.GeoBoundingBox(
            top_left=models.GeoPoint(lat=top, lon=left), bottom_right=models.GeoPoint(lat=box.bottom, lon=right)
        )
        return models.FieldCondition(key=key, geo_bounding_box=corners)

    if box.left < box.right:
        return part(box.left, min(box.right, east))
    # The third part has the points at longitude 180 itself, the edge of the other two.
    parts = [part(box.left, east)] if box.left < east else []
    parts += [part(-180.0, box.right), part(max(box.left, _SEAM), min(box.right, -_SEAM))]
    return models.Filter(should=parts)
