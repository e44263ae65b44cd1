"""Asks before the texts of a collection are replaced by those of another field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.errors import ReplaceRefusedError
from tasb_qdrant.records import Passage, RoleFields

UNKNOWN: Final = RoleFields()


class ReplaceGuard:
    """Refuses to replace a stored text by one that comes of another field, unless that is `allowed`.

    `now` gives the fields that this run takes, once they are known. An edited source has the fields that it had, and
    is stored without asking; so are new passages, whatever their fields. A collection that doesn't say its fields,
    as earlier versions made them, is judged by what it holds: a stored text that is another field of the new passage.
    """

    def __init__(self, collection: Collection, now: Callable[[], RoleFields], *, allowed: bool) -> None:
        self._collection = collection
        self._now = now
        self._allowed = allowed

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """(what, the collection's, this run's), as far as the collection says its fields."""
        return (self._collection.fields or UNKNOWN).differences(self._now())

    @property
    def is_on(self) -> bool:
        """Whether there may be anything to ask about."""
        return not self._allowed and bool(self._now().text) and (self._collection.fields is None or self._differ())

    def check(self, passage: Passage, stored: Mapping[str, Any]) -> None:
        """Raises ReplaceRefusedError if the passage must not replace what is stored under its id, another text."""
        if not self.is_on:
            return
        by_content = self._by_content(passage, stored) if self._collection.fields is None else []
        self.refuse(passage.id, by_content or self.differences)

    def refuse(self, passage_id: str, differences: Sequence[tuple[str, str, str]]) -> None:
        """Raises ReplaceRefusedError if there are differences."""
        if differences:
            raise ReplaceRefusedError(self._collection.name, passage_id=passage_id, differences=differences)

    @property
    def note(self) -> tuple[str, ...]:
        """A sentence for people if the fields differ."""
        if not (differences := self.differences):
            return ()
        listed = "; ".join(f"{what} was {here}, and is {now}" for what, here, now in differences)
        then = "stored texts are replaced." if self._allowed else "stored texts are not replaced without --replace."
        return (f"Since the collection was filled, {listed}: {then}",)

    def record(self, *, points_before: int, met: bool) -> None:
        """Have the collection say what its passages come from now. `met`: the run met some that were stored."""
        now, there = self._now(), self._collection.fields
        if not (now.text or now.id) or (there is None and points_before and not met):
            return  # nothing says what the others came from
        after = now if there is None or not points_before or (self._allowed and self._differ()) else there.plus(now)
        if after != there:
            self._collection.record_fields(after)

    def _differ(self) -> bool:
        return bool(self.differences)

    def _by_content(self, passage: Passage, stored: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        text = stored.get(self._collection.keys.text)
        fields = [name for name, value in passage.payload.items() if value == text]
        return [("the field of the text", name, ", ".join(self._now().text)) for name in fields[:1]]
