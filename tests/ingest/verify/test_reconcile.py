"""Ids of both sides are merged in order, exactly, whatever the pages."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Page, StoredPoint
from tasb_qdrant.errors import RequestRefusedError, SettingsError, StoreCorruptError
from tasb_qdrant.ingest.read.idset import IdSet, id_of, key_of
from tasb_qdrant.ingest.read.seen import SeenIds
from tasb_qdrant.ingest.verify.reconcile import IdGap, compare_ids
from tests.ingest.fakes import CountingCollection

numbers = st.integers(0, 2**64 - 1) | st.integers(0, 40)
uuids = (st.integers(0, 2**128 - 1) | st.integers(0, 20)).map(lambda n: str(uuid.UUID(int=n)))
id_sets = st.sets(numbers | uuids, max_size=60)


def in_order(ids: set[PointId]) -> list[PointId]:
    """As stores give them: numbers, then UUIDs."""
    return [
        *sorted(one for one in ids if isinstance(one, int)),
        *sorted(one for one in ids if isinstance(one, str)),
    ]


class Listed(CountingCollection):
    """A collection that holds these ids, in this order."""

    def __init__(self, ids: Sequence[PointId], *, most: int = 10**9) -> None:
        super().__init__()
        self._ids = list(ids)
        self._most = most

    def page(
        self, start: PointId | None = None, *, limit: int = 1_000, payloads: bool = False, vectors: bool = False
    ) -> Page:
        if limit > self._most:
            raise RequestRefusedError(f"limit {limit} is too large")
        first = 0 if start is None else self._ids.index(start)
        found = self._ids[first : first + limit]
        following = self._ids[first + limit] if first + limit < len(self._ids) else None
        return Page([StoredPoint(one) for one in found], following)


def source_of(ids: Sequence[PointId]) -> SeenIds:
    seen = SeenIds()
    seen.add(ids, [b""] * len(ids), [("f", line) for line in range(len(ids))])
    return seen


def joined(gaps: Iterator[IdGap]) -> IdGap:
    whole = IdGap()
    for gap in gaps:
        whole.extra += gap.extra
        whole.missing += gap.missing
        whole.repeated += gap.repeated
    return whole


@given(st.lists(numbers | uuids, max_size=50))
def test_keys_sort_as_stores_sort_ids_and_come_back(ids: list[PointId]) -> None:
    assert [id_of(key) for key in sorted(map(key_of, set(ids)))] == in_order(set(ids))


@given(id_sets, id_sets, st.integers(1, 7))
def test_each_side_is_told_what_the_other_lacks(source: set[PointId], there: set[PointId], limit: int) -> None:
    seen = source_of(list(source))
    found = joined(compare_ids(seen, Listed(in_order(there)), page_ids=limit))
    assert found.extra == in_order(there - source)
    assert found.missing == in_order(source - there)
    assert found.repeated == []
    seen.close()


def test_more_ids_than_a_batch_are_merged_too() -> None:
    seen = source_of([*range(0, 6_000, 2), *(str(uuid.UUID(int=n)) for n in range(1_500))])
    pages: list[int] = []
    found = joined(compare_ids(seen, Listed(range(0, 6_000, 3)), page_ids=700, on_page=pages.append))
    assert found.extra == [n for n in range(0, 6_000, 3) if n % 2]
    assert found.missing == [*(n for n in range(0, 6_000, 2) if n % 3), *(str(uuid.UUID(int=n)) for n in range(1_500))]
    assert pages == [700, 700, 600]
    seen.close()


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_an_id_that_a_collection_lists_twice_is_told(limit: int) -> None:
    class Twice(Listed):
        def page(
            self, start: PointId | None = None, *, limit: int = 1_000, payloads: bool = False, vectors: bool = False
        ) -> Page:
            first = 0 if start is None else int(start)
            return Page(
                [StoredPoint(one) for one in self._ids[first : first + limit]],
                first + limit if first + limit < len(self._ids) else None,
            )

    seen = source_of([1, 2, 3])
    assert joined(compare_ids(seen, Twice([1, 2, 2, 3]), page_ids=limit)) == IdGap(repeated=[2])
    seen.close()


def test_a_collection_without_an_order_can_not_be_compared() -> None:
    seen = source_of([1, 2])
    with pytest.raises(StoreCorruptError, match="the ids of collection 'counting' are not in order"):
        joined(compare_ids(seen, Listed([2, 1])))
    seen.close()


def test_a_server_that_allows_smaller_pages_alone_gets_them() -> None:
    seen = source_of(range(300))
    assert joined(compare_ids(seen, Listed(range(301), most=100))) == IdGap(extra=[300])
    with pytest.raises(RequestRefusedError):
        joined(compare_ids(seen, Listed(range(301), most=0)))
    seen.close()


@given(st.lists(st.tuples(st.booleans(), st.lists(numbers | uuids, max_size=30)), max_size=8))
def test_a_set_of_ids_is_as_python_s(steps: list[tuple[bool, list[PointId]]]) -> None:
    expected: set[PointId] = set()
    with IdSet() as ids:
        for is_question, some in steps:
            if is_question:
                assert ids.among(some) == expected & set(some)
            else:
                assert ids.add(some) == len(set(some) - expected)
                expected |= set(some)
        assert len(ids) == len(expected)
        assert [one for batch in ids.batches() for one in batch] == in_order(expected)


def test_a_set_of_ids_takes_more_than_a_statement_has_room_for() -> None:
    with IdSet(range(2_500)) as ids:
        assert len(ids.among(range(2_000, 4_500))) == 500
        assert [len(batch) for batch in ids.batches()] == [1_000, 1_000, 500]


def test_a_full_disk_is_named() -> None:
    with IdSet() as ids:
        ids._db.execute("PRAGMA max_page_count = 4")
        with pytest.raises(SettingsError, match=r"can't be kept in a temporary file .*SQLITE_TMPDIR"):
            ids.add(range(50_000))
