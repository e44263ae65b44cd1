"""What collections of both stores offer to people who change them; `editing` and `payload_indexes` say how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tasb_qdrant.collection.editing import EditSteps, Filterable
from tasb_qdrant.collection.payload_indexes import check_indexes, check_stored
from tasb_qdrant.collection.protocol import EditableCollection
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.records.path import qdrant_path
from tasb_qdrant.settings import CollectionSettings, IndexType
from tasb_qdrant.steps import Requests, Steps, Work, carry_out


class Edits:
    """What collections of both stores offer to people who change them. Every method raises CollectionError or one of
    its kinds, and what is named."""

    def delete(self: EditableCollection, ids: Iterable[str]) -> EditReport:
        """Delete these passages, by their ids; the report names those that aren't there. Returning means deleted."""
        return _carried_out(self, EditSteps(self).delete(ids))

    def delete_where(self: EditableCollection, where: Filterable, *, dry_run: bool = False) -> EditReport:
        """Delete the passages that match a filter, as text or F(...); a `dry_run` counts them and shows some.

        A condition that no passage meets because of an unknown field, or a value of another type, raises FilterError.
        """
        return _carried_out(self, EditSteps(self).delete_where(where, dry_run=dry_run))

    def patch(
        self: EditableCollection,
        ids: Iterable[str],
        fields: Mapping[str, Any] | None = None,
        *,
        remove: Iterable[str] = (),
    ) -> EditReport:
        """Set these payload `fields` of passages, and `remove` others; their text, title and vectors stay.

        Names are those at the top of the payload. Raises InvalidPassageError for a value that can't be stored, that a
        payload index doesn't hold, or that is id, text or title; nothing is changed then.
        """
        return _carried_out(self, EditSteps(self).patch(ids, fields, remove=remove))

    def patch_where(
        self: EditableCollection,
        where: Filterable,
        fields: Mapping[str, Any] | None = None,
        *,
        remove: Iterable[str] = (),
    ) -> EditReport:
        """The same for the passages that match a filter, which is checked as in `delete_where`."""
        return _carried_out(self, EditSteps(self).patch_where(where, fields, remove=remove))

    def add_indexes(
        self: EditableCollection, indexes: Mapping[str, IndexType], *, on_page: Callable[[int], None] | None = None
    ) -> dict[str, IndexType]:
        """Make those of these payload indexes that are missing, once all that is stored was looked at; returns them.

        `on_page` is called with the number of passages of each page that was looked at. Raises IndexMismatchError
        where an index would not hold what is stored, and RequestRefusedError where the field has one of another type;
        no index is made then.
        """
        wanted = CollectionSettings(indexes=dict(indexes)).indexes
        missing = check_indexes(self, wanted)
        for problem in check_stored(self, missing, on_page=on_page).values():
            raise problem
        self.ensure_indexes(missing)
        return missing

    def drop_indexes(self: EditableCollection, fields: Iterable[str]) -> dict[str, IndexType]:
        """Drop the payload indexes of these fields; returns them. The values stay, and filters on them get slower.

        Raises SettingsError if there is none on one of them; none is dropped then.
        """
        if isinstance(fields, str):
            raise SettingsError(f"expected a list of fields, got the string {fields!r}; write [{fields!r}]")
        there = self.indexes()
        spelled = [field if field in there else qdrant_path(field) for field in fields]
        if unknown := [field for field in spelled if field not in there]:
            listed = ", ".join(sorted(there)) or "none"
            raise SettingsError(
                f"collection {self.name!r} has no payload index on {', '.join(unknown)}; indexed are: {listed}"
            )
        for field in spelled:
            self.remove_index(field)
        return {field: there[field] for field in spelled}

    def index_points(self: EditableCollection) -> dict[str, tuple[IndexType, int]]:
        """The payload indexes, each with its type and the number of passages that it holds, by the store's estimate."""
        found = self.reads.indexes()
        return {field: (kind, found.points.get(field, 0)) for field, kind in found.types.items()}


def _carried_out(collection: EditableCollection, steps: Steps[EditReport]) -> EditReport:
    def carry(step: Any, deadline: Any) -> Any:
        match step:
            case Requests(requests):
                return collection.reads.send(requests, deadline)
            case Work(run):
                return run()

    return carry_out(steps, carry)
