"""What a payload model says about its fields besides their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings imports pydantic, which building a filter doesn't need
    from tasb_qdrant.settings import IndexType
else:
    IndexType = str


@dataclass(frozen=True, slots=True)
class Indexed:
    """In a payload model, `Annotated[int, Indexed()]`: the field gets a payload index.

    Its kind follows from the type: keyword for str, integer, float, bool, datetime for datetime and
    date, uuid for UUID, geo for GeoPoint. `Indexed("text")` on a str is for `contains`.
    """

    kind: IndexType | None = None


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A place in a payload model, in degrees. Any model with `lat` and `lon` will do as well."""

    lat: float
    lon: float
