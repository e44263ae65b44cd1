"""What both searchers offer to people who change passages; `search.editing` and `collection.editing` say how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from tasb_qdrant.records import Passage
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.search.editing import edits, replace
from tasb_qdrant.search.options import Filterable
from tasb_qdrant.search.session import Session
from tasb_qdrant.steps import Steps

Edit: TypeAlias = Callable[[Session[Any]], Steps[EditReport]]
"""The steps of an edit, over what is open."""


class SearcherEdits:
    """The edits of `Searcher`."""

    def delete(self, ids: Iterable[str]) -> EditReport:
        """Delete these passages, by their ids; the report names those that aren't there. Returning means deleted."""
        return self._edit(lambda session: edits(session).delete(ids))

    def delete_where(self, where: Filterable, *, dry_run: bool = False) -> EditReport:
        """Delete the passages that match; a `dry_run` counts them and shows some.

        A condition that no passage meets because of an unknown field, or a value of another type, raises FilterError.
        """
        return self._edit(lambda session: edits(session).delete_where(where, dry_run=dry_run))

    def patch(
        self, ids: Iterable[str], fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these payload `fields` of passages, and `remove` others; their text, title and vectors stay.

        Raises InvalidPassageError for a value that can't be stored or that a payload index doesn't hold, and for id,
        text and title, and PayloadInvalidError for a payload that doesn't fit the searcher's model; nothing is changed
        then.
        """
        return self._edit(lambda session: edits(session).patch(ids, fields, remove=remove))

    def patch_where(
        self, where: Filterable, fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these `fields`, and `remove` others, of the passages that match a filter, which is checked as in
        `delete_where`. Raises what `patch` does."""
        return self._edit(lambda session: edits(session).patch_where(where, fields, remove=remove))

    def replace(self, passages: Passage | Iterable[Passage]) -> EditReport:
        """Give passages that are in the collection another text, title and payload, and where title or text are new
        another vector. The report names those that aren't there: `ingest` stores them. Where texts are split, a passage
        keeps its document's id, and may not be longer than the split's passages.

        Raises InvalidPassageError and PayloadInvalidError; nothing is changed then.
        """
        return self._edit(lambda session: replace(session, passages))

    def _edit(self, steps: Edit) -> EditReport:
        """Carry it out, and forget the answers of before."""
        raise NotImplementedError


class AsyncSearcherEdits:
    """The same, awaited."""

    async def delete(self, ids: Iterable[str]) -> EditReport:
        """Delete these passages, by their ids; the report names those that aren't there. Returning means deleted."""
        return await self._edit(lambda session: edits(session).delete(ids))

    async def delete_where(self, where: Filterable, *, dry_run: bool = False) -> EditReport:
        """Delete the passages that match; a `dry_run` counts them and shows some.

        A condition that no passage meets because of an unknown field, or a value of another type, raises FilterError.
        """
        return await self._edit(lambda session: edits(session).delete_where(where, dry_run=dry_run))

    async def patch(
        self, ids: Iterable[str], fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these payload `fields` of passages, and `remove` others; their text, title and vectors stay.

        Raises InvalidPassageError for a value that can't be stored or that a payload index doesn't hold, and for id,
        text and title, and PayloadInvalidError for a payload that doesn't fit the searcher's model; nothing is changed
        then.
        """
        return await self._edit(lambda session: edits(session).patch(ids, fields, remove=remove))

    async def patch_where(
        self, where: Filterable, fields: Mapping[str, Any] | None = None, *, remove: Iterable[str] = ()
    ) -> EditReport:
        """Set these `fields`, and `remove` others, of the passages that match a filter, which is checked as in
        `delete_where`. Raises what `patch` does."""
        return await self._edit(lambda session: edits(session).patch_where(where, fields, remove=remove))

    async def replace(self, passages: Passage | Iterable[Passage]) -> EditReport:
        """Give passages that are in the collection another text, title and payload, and where title or text are new
        another vector. The report names those that aren't there: `ingest` stores them. Where texts are split, a passage
        keeps its document's id, and may not be longer than the split's passages.

        Raises InvalidPassageError and PayloadInvalidError; nothing is changed then.
        """
        return await self._edit(lambda session: replace(session, passages))

    async def _edit(self, steps: Edit) -> EditReport:
        """Carry it out, and forget the answers of before."""
        raise NotImplementedError
