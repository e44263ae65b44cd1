"""From what a person wrote as a filter to one that the collection can answer, checked against its fields."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.reads.filtering import MAX_AGE, MOST_FILTERS
from tasb_qdrant.collection.reads.questions import Where
from tasb_qdrant.collection.reads.state import STATE_AGE
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import F, Filter, check_filter, parse_filter, seen_kinds
from tasb_qdrant.filters.conditions import leaves
from tasb_qdrant.records.path import canonical_path
from tasb_qdrant.settings import IndexType, PayloadKeys
from tasb_qdrant.steps import StoreSteps

SAMPLE_SIZE: Final = 200
"""Payloads looked at to learn which fields there are beside the indexed ones."""

LOOKED_AT: Final = 50_000
"""The most passages that are looked through for a field that may be none."""

_PACKAGE: Final = str(Path(__file__).parents[1])


class FilterWarning(UserWarning):
    """A filter that can be answered, but looks like a slip: an unknown field, or one of another type."""


def parsed_filter(where: str | Where | bool) -> Where:
    """The filter to send. One of qdrant-client's own is passed on as it is. Raises FilterError, also for anything that
    is not a filter."""
    parsed = parse_filter(where) if isinstance(where, str) else where
    if isinstance(parsed, bool) or not (isinstance(parsed, Filter) or _is_clients(parsed)):
        raise FilterError(_no_filter(parsed))
    return parsed


class WhereChecker:
    """Checks filters against one collection. What it learns of the fields is kept for later filters,
    for as long as what is known of the indexes."""

    def __init__(self, keys: PayloadKeys, reads: ReadSteps) -> None:
        self._keys = keys
        self._reads = reads
        self._passed: Cache[Mapping[str, IndexType]] = Cache(MOST_FILTERS)
        self._seen: Cache[Mapping[str, frozenset[str]]] = Cache(1, ttl=MAX_AGE)
        self._absent: Cache[Mapping[str, frozenset[str]]] = Cache(MOST_FILTERS, ttl=STATE_AGE)
        self._sampled = 0

    def check(self, where: Where | None) -> StoreSteps[tuple[str, ...]]:
        """What looks like a slip, a sentence each, which is also warned of with FilterWarning where the package was
        called. Raises FilterError."""
        if not isinstance(where, Filter):
            return ()
        fields = frozenset(leaf.field for leaf in leaves(where))
        indexes = yield from self._reads.filtering.indexes(fields)
        if self._passed.get(where) is indexes:
            return ()
        seen = yield from self._fields()
        seen = {**seen, **(yield from self._looked_for(fields - seen.keys() - set(map(canonical_path, indexes))))}
        # Where there is nothing yet, every index is empty.
        empty = self._reads.filtering.known.indexes.empty if self._sampled else frozenset()
        messages = check_filter(where, indexes=indexes, seen=seen, empty=empty)
        for message in messages:
            warnings.warn(message, FilterWarning, stacklevel=_frames_of_the_package())
        if not messages:
            self._passed.put(where, indexes)
        return tuple(messages)

    def check_field(self, field: str) -> StoreSteps[tuple[str, ...]]:
        """The same for a field that nothing was found by: its index may be empty."""
        return (yield from self.check(F(field).exists()))

    def resolve(self, where: str | Where | bool | None) -> StoreSteps[Where | None]:
        """The filter to send, parsed and checked."""
        parsed = None if where is None else parsed_filter(where)
        yield from self.check(parsed)
        return parsed

    def _looked_for(self, fields: frozenset[str]) -> StoreSteps[Mapping[str, frozenset[str]]]:
        """The same of fields that the sample lacks, as one passage has each that is there: the sample may be too small,
        or older than the passages. Only where looking at every passage takes no time to speak of."""
        found: dict[str, frozenset[str]] = {}
        for field in sorted(fields):
            kinds = self._absent.get(field)
            if kinds is None:
                kinds = yield from self._look_for(field)
                self._absent.put(field, kinds)
            found |= kinds
        return found

    def _look_for(self, field: str) -> StoreSteps[Mapping[str, frozenset[str]]]:
        limits = self._reads.state.now.limits
        if not limits.unindexed_filters or limits.reads is not None:
            return {}
        if (yield from self._reads.count(exact=False)) > LOOKED_AT:
            return {}
        page = yield from self._reads.scroll(F(field).exists(), limit=1)
        return {
            name: kinds
            for name, kinds in seen_kinds([point.payload or {} for point in page.points]).items()
            if canonical_path(name) == field
        }

    def _fields(self) -> StoreSteps[Mapping[str, frozenset[str]]]:
        """Field -> kinds of JSON values seen in a sample of the payloads."""
        seen = self._seen.get(None)
        if seen is None:
            keys = self._keys
            every: dict[str, Any] = {keys.id: "", keys.text: "", keys.title: ""}
            sample = yield from self._reads.sample(SAMPLE_SIZE)
            seen = seen_kinds([every, *sample])
            self._sampled = len(sample)
            self._seen.put(None, seen)
        return seen


def _frames_of_the_package() -> int:
    """The stack level of the code that called this package: drivers and generators lie in between."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _is_clients(where: object) -> bool:
    # Not imported for this, which takes 0.6 s: who has one of its filters has it imported.
    client = sys.modules.get("qdrant_client.models")
    return client is not None and isinstance(where, client.Filter)


def _no_filter(where: object) -> str:
    if isinstance(where, bool):
        return "a filter is needed, got a bool: `and`, `or` and `not` can't join filters; write &, | and ~"
    if isinstance(where, F):
        named = f'F("{where.name}")'
        return f"{named} without a comparison isn't a filter; write {named} == VALUE, or {named}.exists()"
    kind = type(where).__name__
    return (
        f'a filter is F("year") >= 2020, the same as text, or a qdrant_client.models.Filter, got {kind}; '
        "write one of these"
    )
