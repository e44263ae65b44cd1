"""Any number of point ids in bounded memory, in the order in which collections list theirs."""

from __future__ import annotations

import ctypes
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Self

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import SettingsError

CACHE_KIB: Final = 65_536
"""For the ids of a source. Sets of findings are many and mostly small, and get less each."""

_SET_CACHE_KIB: Final = 16_384

# Few and large statements: each gives up the interpreter's lock, and getting it back can take 5 ms while other
# stages run Python. Every SQLite allows 999 placeholders.
LOOK_UP_ROWS: Final = 996

BATCH_ROWS: Final = 1_000
"""Ids in a batch of an iteration."""


def key_of(point_id: PointId) -> bytes:
    """Bytes that sort as collections sort their ids: numbers first, then UUIDs."""
    if isinstance(point_id, int):
        return b"\0" + point_id.to_bytes(8, "big")
    return b"\1" + bytes.fromhex(point_id.replace("-", ""))


def id_of(key: bytes) -> PointId:
    """The inverse of `key_of`."""
    return int.from_bytes(key[1:], "big") if key[0] == 0 else str(uuid.UUID(bytes=key[1:]))


def short_id(key: bytes) -> PointId:
    """The same, a UUID without hyphens: every store reads that, and spelling it out takes ten times as long."""
    return int.from_bytes(key[1:], "big") if key[0] == 0 else key[1:].hex()


def temporary_database(table: str, *, cache_kib: int = CACHE_KIB, any_thread: bool = False) -> sqlite3.Connection:
    """A private SQLite database with this one table.

    It stays in memory while it is small, spills to disk beyond its cache, and vanishes with the process. A
    set in memory would take 1 GB at 9 million ids. With `any_thread` the caller makes sure that threads take turns.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=not any_thread)
    database.execute(f"PRAGMA cache_size = -{cache_kib}")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(table)
    return database


def close_database(database: sqlite3.Connection) -> None:
    """Forget everything, and let the system have the memory: glibc keeps what another thread has filled, here 60 MB,
    while the store goes on to count or to close."""
    database.close()
    with suppress(OSError, AttributeError):  # another system's library
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def named_failure() -> Iterator[None]:
    """Turn what SQLite raises into SettingsError: the temporary file can't grow."""
    try:
        yield
    except sqlite3.Error as error:
        raise SettingsError(
            f"the ids read so far can't be kept in a temporary file ({error}); free some space in the folder for "
            "temporary files, or name another one in SQLITE_TMPDIR"
        ) from error


def key_batches(database: sqlite3.Connection, table: str) -> Iterator[list[bytes]]:
    """The keys in the table's column `id`, ascending."""
    cursor = database.execute(f"SELECT id FROM {table} ORDER BY id")  # noqa: S608  # a table of ours
    while True:
        with named_failure():
            rows = cursor.fetchmany(BATCH_ROWS)
        if not rows:
            return
        yield [key for (key,) in rows]


class IdSet:
    """Point ids, each once. For one thread at a time."""

    def __init__(self, ids: Iterable[PointId] = ()) -> None:
        table = "CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID"
        self._db = temporary_database(table, cache_kib=_SET_CACHE_KIB, any_thread=True)
        self._count = 0
        self.add(ids)

    def add(self, ids: Iterable[PointId]) -> int:
        """Add the ids; returns how many of them are new. Raises SettingsError."""
        keys = [key_of(point_id) for point_id in ids]
        added = 0
        with named_failure():
            self._db.execute("BEGIN")
            for start in range(0, len(keys), LOOK_UP_ROWS):
                some = keys[start : start + LOOK_UP_ROWS]
                marks = ",".join(["(?)"] * len(some))
                added += self._db.execute(f"INSERT OR IGNORE INTO ids VALUES {marks}", some).rowcount  # noqa: S608  # marks only
            self._db.execute("COMMIT")
        self._count += added
        return added

    def among(self, ids: Sequence[PointId]) -> set[PointId]:
        """Those of the ids that are in the set."""
        if not self._count:
            return set()
        found: set[PointId] = set()
        for start in range(0, len(ids), LOOK_UP_ROWS):
            keys = [key_of(point_id) for point_id in ids[start : start + LOOK_UP_ROWS]]
            marks = ",".join("?" * len(keys))
            with named_failure():
                rows = self._db.execute(f"SELECT id FROM ids WHERE id IN ({marks})", keys).fetchall()  # noqa: S608  # marks only
            found.update(id_of(key) for (key,) in rows)
        return found

    def batches(self) -> Iterator[list[PointId]]:
        """All ids in their order, in lists of BATCH_ROWS."""
        for keys in key_batches(self._db, "ids"):
            yield [id_of(key) for key in keys]

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
