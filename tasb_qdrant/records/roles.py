"""From which fields of its sources a collection's passages come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RoleFields:
    """The names of the fields that ids, texts and titles were taken from, as options name them; recorded with a
    collection. Several sources may have several; what has no fields (MS MARCO's TSV, passages of a program) has none.
    """

    id: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    title: tuple[str, ...] = ()

    @classmethod
    def of(cls, taken: Iterable[tuple[str | None, str | None, str | None]]) -> Self:
        """Of (id, text, title) of each source, None for what it doesn't have."""
        sources = [*taken]
        ids, texts, titles = ({one[at] for one in sources} for at in range(3))
        return cls(_sorted(ids), _sorted(texts), _sorted(titles))

    def plus(self, other: RoleFields) -> RoleFields:
        """Both together."""
        pairs = ((getattr(self, role), getattr(other, role)) for role in ("id", "text", "title"))
        return RoleFields(*(_sorted({*mine, *theirs}) for mine, theirs in pairs))

    def differences(self, now: RoleFields) -> list[tuple[str, str, str]]:
        """(what, here, now) for texts and titles that come of another field now; unknown ones don't differ."""
        found: list[tuple[str, str, str]] = []
        for role in ("text", "title"):
            here, there = getattr(self, role), getattr(now, role)
            if here and not {*there} <= {*here}:
                found.append((f"the field of the {role}", ", ".join(here), ", ".join(there)))
        return found


def _sorted(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name))
