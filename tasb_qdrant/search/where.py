"""From what a person wrote as a filter to one that the collection can answer, checked against its fields."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.reads.filtering import MAX_AGE, MOST_FILTERS
from tasb_qdrant.collection.reads.questions import Where
from tasb_qdrant.collection.reads.state import STATE_AGE
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.errors import FilterError, RequestRefusedError
from tasb_qdrant.filters import F, Filter, check_filter, parse_filter, seen_kinds
from tasb_qdrant.filters.conditions import leaves
from tasb_qdrant.filters.kinds import coarse
from tasb_qdrant.printable import escaped
from tasb_qdrant.records.path import canonical_path
from tasb_qdrant.search.fields import Use, unfit
from tasb_qdrant.settings import IndexType, PayloadKeys
from tasb_qdrant.steps import StoreSteps

SAMPLE_SIZE: Final = 200
"""Payloads looked at to learn which fields there are beside the indexed ones."""

LOOKED_AT: Final = 50_000
"""The most passages that are looked through for a field that may be none."""

_LONG: Final = 2_000
"""Values of a filter, or characters of its text: 1 ms of work."""

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


class _Sample(NamedTuple):
    """Field -> kinds of JSON values in so many payloads, integers apart from floats."""

    kinds: Mapping[str, frozenset[str]]
    size: int


class WhereChecker:
    """Checks filters against one collection. What it learns of the fields is kept for later filters,
    for as long as what is known of the indexes, and while the same collection has the name."""

    def __init__(self, keys: PayloadKeys, reads: ReadSteps) -> None:
        self._keys = keys
        self._reads = reads
        self._passed: Cache[Mapping[str, IndexType]] = Cache(MOST_FILTERS)
        self._seen: Cache[_Sample] = Cache(1, ttl=MAX_AGE)
        self._absent: Cache[Mapping[str, frozenset[str]]] = Cache(MOST_FILTERS, ttl=STATE_AGE)

    @property
    def _id(self) -> str:
        """That of the collection which has the name now."""
        return self._reads.state.now.schema.id

    def check(self, where: Where | None) -> StoreSteps[tuple[str, ...]]:
        """What looks like a slip, a sentence each, which is also warned of with FilterWarning where the package was
        called. Raises FilterError."""
        if not isinstance(where, Filter):
            return ()
        yield from self._reads.state.refreshed()
        fields = frozenset(leaf.field for leaf in leaves(where))
        indexes = yield from self._reads.filtering.indexes(fields)
        asked = self._id, where
        if self._passed.get(asked) is indexes:
            return ()
        sample = yield from self._sample()
        seen = {field: frozenset(map(coarse, kinds)) for field, kinds in sample.kinds.items()}
        seen |= yield from self._looked_for(fields - seen.keys() - set(map(canonical_path, indexes)))
        # Where there is nothing yet, every index is empty.
        empty = self._reads.filtering.known.indexes.empty if sample.size else frozenset()
        messages = [escaped(message) for message in check_filter(where, indexes=indexes, seen=seen, empty=empty)]
        for message in messages:
            _warn(message)
        if not messages:
            self._passed.put(asked, indexes)
        return tuple(messages)

    def check_fields(self, fields: Iterable[str]) -> StoreSteps[tuple[str, ...]]:
        """The same for fields that are only named. Of those of an empty collection nothing is known."""
        warned: tuple[str, ...] = ()
        for field in fields:
            if (yield from self._sample()).size:
                warned += yield from self.check(F(field).exists())
        return warned

    def check_use(self, field: str, use: Use) -> StoreSteps[tuple[str, ...]]:
        """The same for a field that is named for a use. Raises RequestRefusedError, with the remedy, where its values
        can't be used so: a store would find nothing, and say nothing."""
        yield from self._reads.state.refreshed()
        name = canonical_path(field)
        types = yield from self._reads.filtering.indexes(frozenset({name}))
        indexes = {canonical_path(each): kind for each, kind in types.items()}
        empty = {canonical_path(each) for each in self._reads.filtering.known.indexes.empty}
        index = indexes.get(name)
        if index in use.indexes and name not in empty:
            return ()
        kinds = (yield from self._sample()).kinds
        if (problem := unfit(name, use, index=index, kinds=kinds.get(name.removesuffix("[]"), ()))) is not None:
            raise RequestRefusedError(problem)
        warned = yield from self.check_fields([name])
        if warned and use.indexed and index is None:
            raise RequestRefusedError(f"{warned[0]}; {use.told} where the field has an index")
        return warned

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
            kinds = self._absent.get((self._id, field))
            if kinds is None:
                kinds = yield from self._look_for(field)
                self._absent.put((self._id, field), kinds)
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

    def _sample(self) -> StoreSteps[_Sample]:
        """What is in some of the payloads."""
        seen = self._seen.get(self._id)
        if seen is None:
            keys = self._keys
            every: dict[str, Any] = {keys.id: "", keys.text: "", keys.title: ""}
            payloads = yield from self._reads.sample(SAMPLE_SIZE)
            seen = _Sample(seen_kinds([every, *payloads], finer=True), len(payloads))
            self._seen.put(self._id, seen)
        return seen


def is_long(where: object) -> bool:
    """Whether it holds so many values that working on them would hold up an event loop."""
    if isinstance(where, str):
        return len(where) > _LONG
    return isinstance(where, Filter) and where.size > _LONG


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
