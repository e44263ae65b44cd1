"""Changing a collection passage by passage, step by step: for those who wait for it, and those who await it.

Every edit is noted in the collection before it is made (`mark_edited`). A checkpoint of an interrupted ingest names the
last edit that it knew of, and so is never resumed over passages that have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.payload import hit_of
from tasb_qdrant.collection.points import PointId, checked_ids
from tasb_qdrant.collection.protocol import EditableCollection
from tasb_qdrant.collection.reads.questions import ScoredPoint, Where
from tasb_qdrant.errors import FilterError, InvalidPassageError, SettingsError
from tasb_qdrant.filters import F, Filter, check_filter, parse_filter, seen_kinds
from tasb_qdrant.filters.conditions import Leaf, leaves
from tasb_qdrant.records import Passage
from tasb_qdrant.records.edit import EditKind, EditReport
from tasb_qdrant.records.passage import NulledPayload
from tasb_qdrant.records.path import Segment, qdrant_path, write_path
from tasb_qdrant.settings import PayloadKeys, SplitSettings
from tasb_qdrant.steps import Steps, work

BATCH: Final = 1_000
"""Passages that are changed in one request."""

SAMPLE: Final = 5
"""Passages that a dry run shows."""

_SEEN: Final = 200
"""Payloads from which it is learnt which fields there are."""

Filterable: TypeAlias = "str | Where | bool"
"""A filter, or the same as text. To type checkers `F("year") == 2020` is a bool; a real one raises FilterError."""

Change: TypeAlias = Callable[[Sequence[PointId]], None]
"""Changes some points."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Fields at the top of a payload that are set, and the names of those that are removed; `paths` are the same
    names as Qdrant spells them."""

    fields: Mapping[str, Any]
    removed: tuple[str, ...]
    paths: tuple[str, ...]

    def applied(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The payload as it will be."""
        return {name: value for name, value in {**payload, **self.fields}.items() if name not in self.removed}


class EditSteps:
    """The edits of one collection that need no encoder. A `check` is called with each payload, as it will be after a
    patch, and the passage's id; it raises for one that must not be."""

    def __init__(
        self, collection: EditableCollection, *, check: Callable[[Mapping[str, Any], str], None] | None = None
    ) -> None:
        self._collection = collection
        self._check = check
        self._reads = collection.reads.steps

    def delete(self, ids: Iterable[str]) -> Steps[EditReport]:
        """Delete these passages."""
        there, missing = yield from self._looked_up(ids)
        yield from work(lambda: self._delete(there))
        return self._report("deleted", len(there), missing=missing)

    def delete_where(self, where: Filterable, *, dry_run: bool = False) -> Steps[EditReport]:
        """Delete the passages that match; a dry run counts them, and shows some."""
        resolved = yield from self._resolved(where)
        if dry_run:
            count = yield from self._reads.count(resolved)
            page = yield from self._reads.scroll(resolved, limit=SAMPLE)
            hits = tuple(hit_of(point, self._collection.keys) for point in page.points)
            return self._report("deleted", count, changed=0, dry_run=True, sample=hits)
        changed = yield from self._page_by_page(resolved, self._collection.delete_points)
        return self._report("deleted", changed)

    def patch(
        self, ids: Iterable[str], fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> Steps[EditReport]:
        """Set some fields of these passages, and remove others."""
        patch = yield from self._patch(fields or {}, remove)
        there, missing = yield from self._looked_up(ids)
        for start in range(0, len(there) if self._check else 0, self._at_once):
            self._check_patched((yield from self._reads.retrieve(there[start : start + self._at_once])), patch)
        yield from work(lambda: self._change(there, self._patching(patch)))
        return self._report("patched", len(there), missing=missing)

    def patch_where(
        self, where: Filterable, fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> Steps[EditReport]:
        """The same for the passages that match."""
        patch = yield from self._patch(fields or {}, remove)
        resolved = yield from self._resolved(where)
        start, unchecked = None, self._check is not None
        while unchecked:
            page = yield from self._reads.scroll(resolved, start=start, limit=self._at_once)
            self._check_patched(page.points, patch)
            start, unchecked = page.following, page.following is not None
        changed = yield from self._page_by_page(resolved, self._patching(patch))
        return self._report("patched", changed)

    def _patching(self, patch: Patch) -> Change:
        return lambda points: self._collection.patch_payloads(points, patch.fields, patch.paths)

    def _check_patched(self, points: Iterable[ScoredPoint], patch: Patch) -> None:
        """Check the payloads of these points as they will be."""
        if self._check is not None:
            for hit in (hit_of(point, self._collection.keys) for point in points):
                self._check(patch.applied(hit.payload), hit.id)

    def _looked_up(self, ids: Iterable[str]) -> Steps[tuple[list[PointId], tuple[str, ...]]]:
        """The points that are there, and the ids that aren't."""
        yield from self._reads.state.confirmed()
        points = {self._collection.point_id(name): name for name in checked_ids(ids)}
        found = yield from self._reads.retrieve(list(points), payload=False)
        there = [point.id for point in found]
        known = set(there)
        return there, tuple(name for point, name in points.items() if point not in known)

    def _delete(self, points: Sequence[PointId]) -> None:
        self._change(points, self._collection.delete_points)

    def _change(self, points: Sequence[PointId], change: Change) -> None:
        if points:
            self._collection.mark_edited()
        for start in range(0, len(points), self._at_once):
            change(points[start : start + self._at_once])

    @property
    def _at_once(self) -> int:
        """Passages of one request: what a server's strict mode allows, and no more than BATCH."""
        limits = self._collection.limits
        return min(BATCH, limits.page or BATCH, limits.upsert.points or BATCH)

    def _page_by_page(self, where: Where, change: Change) -> Steps[int]:
        """How many points were changed: those that match, in the order of their ids."""
        changed, start, marked = 0, None, False
        limit = self._at_once
        while True:
            page = yield from self._reads.scroll(where, start=start, limit=limit, payload=False)
            if page.points and not marked:
                yield from work(self._collection.mark_edited)
                marked = True
            if page.points:
                yield from work(partial(change, [point.id for point in page.points]))
            changed += len(page.points)
            if (start := page.following) is None:
                return changed

    def _patch(self, fields: Mapping[str, Any], remove: Iterable[str]) -> Steps[Patch]:
        """The patch, if passages may get it. Raises SettingsError, InvalidPassageError, FilterError."""
        if isinstance(remove, str):
            raise SettingsError(f"expected a list of fields to remove, got the string {remove!r}; write [{remove!r}]")
        removed = list(dict.fromkeys(remove))
        if not fields and not removed:
            raise SettingsError("a patch sets fields, or removes some; name at least one")
        if both := fields.keys() & set(removed):
            raise SettingsError(f"{', '.join(sorted(both))} can't be both set and removed; leave out one of them")
        check_patchable([*fields, *removed], self._collection.keys, self._collection.split)
        # A passage refuses what no payload may hold, and converts dates and the like.
        checked = Passage("?", "?", payload=dict(fields)).payload
        if isinstance(checked, NulledPayload):  # fine in a corpus, but not what a person asked for
            raise InvalidPassageError(
                f"JSON can't represent NaN or infinity, which {checked.nulled} of the values are; give null (None), or "
                "remove the field",
                field="payload",
            )
        indexes = yield from work(self._collection.indexes, "read the payload indexes")
        TypeCheck(indexes)(checked)
        return Patch(checked, tuple(removed), tuple(qdrant_path(write_path([Segment(name)])) for name in removed))

    def _resolved(self, where: Filterable) -> Steps[Where]:
        """The filter, if it may be acted on: what a search would only warn of is refused where no passage agrees."""
        yield from self._reads.state.confirmed()
        parsed = parse_filter(where) if isinstance(where, str) else where
        if not isinstance(parsed, Filter):
            return _clients(parsed)
        indexes = yield from self._reads.filtering.indexes(frozenset(leaf.field for leaf in leaves(parsed)))
        empty = self._reads.filtering.known.indexes.empty
        keys = self._collection.keys
        sample = yield from self._reads.sample(_SEEN)
        seen = seen_kinds([{keys.id: "", keys.text: "", keys.title: ""}, *sample])
        check_filter(parsed, indexes=indexes, seen=seen)
        for leaf in leaves(parsed):
            for message in check_filter(leaf, indexes=indexes, seen=seen, empty=empty):
                if not (yield from self._is_sound(leaf)):
                    raise FilterError(f"{message}; nothing was changed")
        return parsed

    def _is_sound(self, leaf: Leaf) -> Steps[bool]:
        """Whether some passage has the field, and some passage meets the condition: a sample says too little."""
        there = yield from self._reads.count(F(leaf.field).exists())
        return there > 0 and (yield from self._reads.count(leaf)) > 0

    def _report(self, kind: EditKind, matched: int, *, changed: int | None = None, **more: Any) -> EditReport:
        collection = self._collection
        done = matched if changed is None else changed
        return EditReport(collection.name, collection.location, kind, matched, done, **more)


def _clients(where: Any) -> Where:
    """The filter of qdrant-client's, which isn't imported for this. Raises FilterError for anything else."""
    if type(where).__name__ != "Filter" or not hasattr(where, "must_not"):
        raise FilterError(
            "a filter is text, F(...) with a comparison, or a qdrant_client.models.Filter, got "
            f"{type(where).__name__}; write one of these"
        )
    found: Where = where
    return found


def check_patchable(names: Iterable[str], keys: PayloadKeys, split: SplitSettings | None) -> None:
    """Raises InvalidPassageError for what can't be patched: the ids of the passage and of the document that it was
    split from, and what the vector was made of."""
    for name in names:
        if split is not None and name == split.field:
            raise InvalidPassageError(
                f"field {name!r} is the id of the document that the passage was split from, which stays; delete its "
                "passages, and ingest the document under another id",
                field="payload",
            )
        if name == keys.id:
            raise InvalidPassageError(
                f"field {name!r} is the passage's id, which stays; delete the passage, and store it under another id",
                field="payload",
            )
        if name in (keys.text, keys.title):
            raise InvalidPassageError(
                f"field {name!r} is what the passage's vector was made of; replace the passage, which encodes it again",
                field="payload",
            )
