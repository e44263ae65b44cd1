"""Filters: which passages to search. `F("year") >= 2020`, or the same as text.

    where = (F("year") >= 2020) & F("lang").in_(["en", "de"]) & ~(F("draft") == True)
    where = parse_filter('year >= 2020 and lang in ["en", "de"] and not draft = true')

docs/filters.md says what each operator means; it means the same on every store.
"""

from __future__ import annotations

from tasb_qdrant.filters.builder import F, all_of, any_of, at_least
from tasb_qdrant.filters.check import check_filter, check_phrases
from tasb_qdrant.filters.kinds import seen_kinds
from tasb_qdrant.filters.marker import GeoPoint, Indexed
from tasb_qdrant.filters.nodes import Filter, as_filter
from tasb_qdrant.filters.payload_model import indexes_of, validate_payload
from tasb_qdrant.filters.text import parse_filter
from tasb_qdrant.filters.typed import field, fields
from tasb_qdrant.filters.write import format_filter

__all__ = [
    "F",
    "Filter",
    "all_of",
    "any_of",
    "at_least",
    "check_filter",
    "check_phrases",
    "format_filter",
    "parse_filter",
    "seen_kinds",
    "fields",
    "field",
    "as_filter",
    "Indexed",
    "GeoPoint",
    "indexes_of",
    "validate_payload",
]
