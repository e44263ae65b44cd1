"""Which ids the source has had so far, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from tasb_qdrant.ingest.read.idset import (
    LOOK_UP_ROWS,
    IdSet,
    close_database,
    id_of,
    key_batches,
    key_of,
    named_failure,
    short_id,
    temporary_database,
)

_INSERT_ROWS: Final = LOOK_UP_ROWS // 4


@dataclass(frozen=True, slots=True)
class Seen:
    """An earlier occurrence of an id: where it was, and whether its content was the same."""

    source: str
    line: int
    same: bool


def digest_of(content: bytes) -> bytes:
    """What stands for a content."""
    return blake2b(content, digest_size=16).digest()


class SeenIds:
    """Point id -> content and place of its first occurrence.

    In a temporary database that spills to disk. To be used by one thread, or with `any_thread` by several that take
    turns.
    """

    def __init__(self, *, any_thread: bool = False) -> None:
        self._sources: dict[str, int] = {}
        self._names: list[str] = []
        self._others: IdSet | None = None
        self._db = temporary_database(
            "CREATE TABLE seen (id BLOB PRIMARY KEY, content BLOB, source INTEGER, line INTEGER) WITHOUT ROWID",
            any_thread=any_thread,
        )

    def add(
        self, ids: Sequence[int | str], contents: Sequence[bytes], places: Sequence[tuple[str, int]]
    ) -> list[Seen | None]:
        """For each id its first occurrence, or None if this is it. Repeats within one call count too.

        `places` are (source, line), each its own. Raises SettingsError when the temporary file can't grow.
        """
        return self.add_keys([key_of(point_id) for point_id in ids], [digest_of(one) for one in contents], places)

    def add_keys(
        self, keys: Sequence[bytes], digests: Sequence[bytes], places: Sequence[tuple[str, int]]
    ) -> list[Seen | None]:
        """The same of ids as `key_of` and contents as `digest_of` give them."""
        numbered = [(self._number(source), line) for source, line in places]
        rows = list(zip(keys, digests, numbered, strict=True))
        with named_failure():
            if self._insert(rows) == len(rows):
                return [None] * len(rows)
            first = self._look_up(keys)
        found: list[Seen | None] = []
        for key, digest, place in rows:
            content, source, line = first[key]
            is_first = (source, line) == place
            found.append(None if is_first else Seen(source=self._names[source], line=line, same=content == digest))
        return found

    def repeats(self, point_id: int | str, passage_id: str, before: Seen) -> None:
        """Told of each id that occurred before with other content, by its passage's id."""

    def disown(self, ids: Sequence[int | str]) -> None:
        """These were read, but are not among those that this run stores."""
        if ids:
            self._others = self._others or IdSet()
            self._others.add(ids)

    def own(self, size: int) -> Iterator[list[int | str]]:
        """The ids that this run stores, ascending, in lists of up to `size`."""
        part: list[int | str] = []
        for keys in self.keys():
            if self._others is None:
                part += map(short_id, keys)
            else:
                ids = [id_of(key) for key in keys]
                others = self._others.among(ids)
                part += [point_id for point_id in ids if point_id not in others]
            if len(part) >= size:
                yield part
                part = []
        if part:
            yield part

    def keys(self) -> Iterator[list[bytes]]:
        """The keys (see `key_of`) of all ids, ascending, in lists."""
        return key_batches(self._db, "seen")

    def close(self) -> None:
        """Forget everything."""
        close_database(self._db)
        if self._others is not None:
            self._others.close()

    def _number(self, source: str) -> int:
        number = self._sources.setdefault(source, len(self._names))
        if number == len(self._names):
            self._names.append(source)
        return number

    def _insert(self, rows: Sequence[tuple[bytes, bytes, tuple[int, int]]]) -> int:
        """Take in the rows with new ids; returns their number."""
        inserted = 0
        self._db.execute("BEGIN")
        for start in range(0, len(rows), _INSERT_ROWS):
            some = rows[start : start + _INSERT_ROWS]
            marks = ",".join(["(?,?,?,?)"] * len(some))
            values = [value for key, digest, (source, line) in some for value in (key, digest, source, line)]
            inserted += self._db.execute(f"INSERT OR IGNORE INTO seen VALUES {marks}", values).rowcount  # noqa: S608  # marks only
        self._db.execute("COMMIT")
        return inserted

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, int, int]]:
        known: dict[bytes, tuple[bytes, int, int]] = {}
        for start in range(0, len(keys), LOOK_UP_ROWS):
            some = keys[start : start + LOOK_UP_ROWS]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT id, content, source, line FROM seen WHERE id IN ({marks})", some)  # noqa: S608  # marks only
            known.update((key, (content, source, line)) for key, content, source, line in rows.fetchall())
        return known
