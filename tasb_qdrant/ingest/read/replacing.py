"""Asks before the texts of a collection are replaced by those of another field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import ReplaceRefusedError
from tasb_qdrant.records import Passage, RoleFields

UNKNOWN: Final = RoleFields()


class ReplaceGuard:
    """Refuses to replace a stored text by one that comes of another field, unless that is `allowed`.

    `now` gives the fields that this run takes, once they are known. An edited source has the fields that it had, and
    is stored without asking; so are new passages, whatever their fields. A collection that doesn't say its fields,
    as earlier versions made them, or whose texts come of several, is also judged by what it holds: a stored text that
    is another field of the new passage.
    """

    def __init__(self, collection: Collection, now: Callable[[], RoleFields], *, allowed: bool) -> None:
        self._collection = collection
        self._now = now
        self._allowed = allowed
        self._began = False

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """(what, the collection's, this run's), as far as the collection says its fields."""
        return (self._collection.fields or UNKNOWN).differences(self._now())

    @property
    def is_on(self) -> bool:
        """Whether there may be anything to ask about."""
        return not self._allowed and bool(self._now().text) and (self._is_unsure or self._differ())

    def check(self, passage: Passage, stored: Mapping[str, Any]) -> None:
        """Raises ReplaceRefusedError if the passage must not replace what is stored under its id, another text."""
        if not self.is_on:
            return
        by_content = self._by_content(passage, stored) if self._is_unsure else []
        if differences := self.differences or by_content:
            raise ReplaceRefusedError(self._collection.name, passage_id=passage.id, differences=differences)

    @property
    def note(self) -> tuple[str, ...]:
        """A sentence for people if the fields differ."""
        if not (differences := self.differences):
            return ()
        listed = "; ".join(f"{what} was {here}, and is {now}" for what, here, now in differences)
        then = "stored texts are replaced." if self._allowed else "stored texts are not replaced without --replace."
        return (f"Since the collection was filled, {listed}: {then}",)

    def begin(self, *, points_before: int) -> None:
        """Before the first passages are stored: a run that is interrupted then has said what they come from."""
        if points_before or self._began or not self._says_fields:
            return
        self._collection.record_fields(self._now())
        self._began = True

    def record(self, *, points_before: int, met: bool) -> None:
        """Have the collection say what its passages come from now. `met`: the run met some that were stored."""
        now, there = self._now(), self._collection.fields
        if not self._says_fields or (there is None and points_before and not met):
            return  # nothing says what the others came from
        first = not points_before and not self._began
        after = now if there is None or first or (self._allowed and self._differ()) else there.plus(now)
        if after != there or self._began:  # another first load may have taken the place of what was recorded
            self._collection.record_fields(after)

    @property
    def _says_fields(self) -> bool:
        return bool(self._now().text or self._now().id)

    @property
    def _is_unsure(self) -> bool:
        """Whether the record doesn't tell which field a stored text came from."""
        there = self._collection.fields
        return there is None or len(there.text) > 1

    def _differ(self) -> bool:
        return bool(self.differences)

    def _by_content(self, passage: Passage, stored: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        text = stored.get(self._collection.keys.text)
        if not text or not isinstance(text, str) or text == passage.text:
            return []
        in_parts = self._collection.split is not None
        fields = [
            name
            for name, value in passage.payload.items()
            if value == text or (in_parts and isinstance(value, str) and text in value)
        ]
        return [("the field of the text", name, ", ".join(self._now().text)) for name in fields[:1]]
