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
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import F, Filter, check_filter, parse_filter, seen_kinds
from tasb_qdrant.filters.conditions import leaves
from tasb_qdrant.printable import escaped
from tasb_qdrant.settings import IndexType, PayloadKeys
from tasb_qdrant.steps import StoreSteps

SAMPLE_SIZE: Final = 200
"""Payloads looked at to learn which fields there are beside the indexed ones."""

_PACKAGE: Final = str(Path(__file__).parents[1])

_MOST_WARNED: Final = 1_000

_WARNED: Final[dict[Any, Any]] = {}
"""What `warnings` remembers to have shown: by default it is kept in the module that is warned, for each message, for
ever, and in a service the messages have words of its users."""


class FilterWarning(UserWarning):
    """A filter that can be answered, but looks like a slip: an unknown field, or one of another type."""


def parsed_filter(where: str | Where | bool) -> Where:
    """The filter to send. One of qdrant-client's own is passed on as it is. Raises FilterError, also for anything that
    is not a filter."""
    parsed = parse_filter(where) if isinstance(where, str) else where
    if isinstance(parsed, bool) or not (isinstance(parsed, Filter) or _is_clients(parsed)):
        raise FilterError(_no_filter(parsed))
    if not isinstance(parsed, Filter):
        try:
            parsed.model_dump_json()
        except ValueError as error:  # its parts are checked by qdrant-client; that its texts are texts is not
            raise FilterError(f"the filter can't be sent ({error}); correct the encoding of its texts") from None
    return parsed


class WhereChecker:
    """Checks filters against one collection. What it learns of the fields is kept for later filters,
    for as long as what is known of the indexes."""

    def __init__(self, keys: PayloadKeys, reads: ReadSteps) -> None:
        self._keys = keys
        self._reads = reads
        self._passed: Cache[Mapping[str, IndexType]] = Cache(MOST_FILTERS)
        self._seen: Cache[Mapping[str, frozenset[str]]] = Cache(1, ttl=MAX_AGE)
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
        # Where there is nothing yet, every index is empty.
        empty = self._reads.filtering.known.indexes.empty if self._sampled else frozenset()
        messages = [escaped(message) for message in check_filter(where, indexes=indexes, seen=seen, empty=empty)]
        for message in messages:
            _warn(message)
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


def _warn(message: str) -> None:
    """Warn where the package was called: drivers and generators lie in between."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if len(_WARNED) > _MOST_WARNED:
        _WARNED.clear()
    code, module = frame.f_code, str(frame.f_globals.get("__name__", "<unknown>"))
    warnings.warn_explicit(message, FilterWarning, code.co_filename, frame.f_lineno, module=module, registry=_WARNED)


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
