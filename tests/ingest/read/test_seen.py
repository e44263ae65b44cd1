"""Repeats are found exactly, in bounded memory, in the thread that reads."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.read.seen import Seen, SeenIds
from tasb_qdrant.records import POINT_ID_NAMESPACE, point_id

ids = st.one_of(st.integers(0, 30), st.integers(0, 30).map(lambda n: str(uuid.UUID(int=n))))


@given(st.lists(st.lists(st.tuples(ids, st.sampled_from([b"a", b"b"])), max_size=30), max_size=5))
def test_each_id_is_answered_with_its_first_occurrence(windows: list[list[tuple[int | str, bytes]]]) -> None:
    first: dict[int | str, tuple[bytes, int]] = {}
    seen = SeenIds()
    line = 0
    for window in windows:
        places = [(f"file {(line + n) % 3}", line + n) for n in range(len(window))]
        expected: list[Seen | None] = []
        for (key, content), (_, at) in zip(window, places, strict=True):
            before = first.setdefault(key, (content, at))
            is_first = before[1] == at
            expected.append(None if is_first else Seen(f"file {before[1] % 3}", before[1], before[0] == content))
        assert seen.add([key for key, _ in window], [content for _, content in window], places) == expected
        line += len(window)
    seen.close()


def test_an_integer_and_the_uuid_of_the_same_number_are_two_ids() -> None:
    seen = SeenIds()
    assert seen.add([5, str(uuid.UUID(int=5))], [b"", b""], [("f", 1), ("f", 2)]) == [None, None]
    seen.close()


def test_a_full_disk_is_named() -> None:
    seen = SeenIds()
    seen._db.execute("PRAGMA max_page_count = 8")  # as SQLite says when its file can't grow
    numbers = list(range(10_000))
    with pytest.raises(SettingsError, match=r"can't be kept in a temporary file .*SQLITE_TMPDIR"):
        seen.add(numbers, [b"x"] * len(numbers), [("f", n) for n in numbers])
    seen.close()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_other_ids_become_the_version_5_uuid_of_the_namespace(name: str) -> None:
    made = point_id(f"id {name}")
    assert made == str(uuid.uuid5(POINT_ID_NAMESPACE, f"id {name}"))
