"""Which ids the source has had so far, in bounded memory."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_CACHE_KIB: Final = 65_536
_VARIABLES: Final = 500  # a query's placeholders; every SQLite allows 999


@dataclass(frozen=True, slots=True)
class Seen:
    """An earlier occurrence of an id: where it was, and whether its content was the same."""

    line: int
    same: bool


class SeenIds:
    """Point id -> content and line of its first occurrence.

    A private temporary SQLite database: it stays in memory while it is small, spills to disk beyond
    64 MiB, and vanishes with the process. A set in memory would take 1 GB at 9 million passages.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, content BLOB, line INTEGER) WITHOUT ROWID")

    def add(self, ids: Sequence[int | str], contents: Sequence[bytes], lines: Sequence[int]) -> list[Seen | None]:
        """For each id its first occurrence, or None if this is it. Repeats within one call count too."""
        keys = [_key(point_id) for point_id in ids]
        digests = [blake2b(content, digest_size=16).digest() for content in contents]
        known = self._look_up(keys)
        found: list[Seen | None] = []
        fresh: list[tuple[bytes, bytes, int]] = []
        for key, digest, line in zip(keys, digests, lines, strict=True):
            earlier = known.get(key)
            if earlier is None:
                known[key] = (digest, line)
                fresh.append((key, digest, line))
                found.append(None)
            else:
                found.append(Seen(line=earlier[1], same=earlier[0] == digest))
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO seen VALUES (?, ?, ?)", fresh)
        self._db.execute("COMMIT")
        return found

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        known: dict[bytes, tuple[bytes, int]] = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT id, content, line FROM seen WHERE id IN ({marks})", some)  # noqa: S608  # marks only
            known.update((key, (content, line)) for key, content, line in rows)
        return known


def _key(point_id: int | str) -> bytes:
    return point_id.to_bytes(8, "big") if isinstance(point_id, int) else uuid.UUID(point_id).bytes
