"""Reading a collection by pages, deleting, and replacing payloads: the same over every store."""

from __future__ import annotations

import random
import uuid

import numpy as np
import pytest

from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.records import Passage, point_id
from tests.collection.helpers import (
    Place,
    fill,
    passages,
    payloads_of,
    random_vectors,
    vectors_of,
)


def _pages(
    collection: Collection, *, limit: int, payloads: bool = False, vectors: bool = False
) -> list[list[ScoredPoint]]:
    found, start, more = [], None, True
    while more:
        page = collection.reads.scroll(start=start, limit=limit, payload=payloads, vectors=vectors)
        found.append(list(page.points))
        start, more = page.following, page.following is not None
    return found


def _scroll_order(point_id: PointId) -> tuple[bool, int, str]:
    return (True, 0, point_id) if isinstance(point_id, str) else (False, point_id, "")


@pytest.mark.parametrize("shards", [1, 3])
def test_pages_give_every_id_once_numbers_first_and_then_uuids(place: Place, shards: int) -> None:
    rng = random.Random(3)
    numbers = [0, 1, 255, 256, 2**32, 2**63 - 1, 2**63, 2**64 - 1, *(rng.getrandbits(64) for _ in range(40))]
    uuids = [
        str(uuid.UUID(int=value)) for value in (0, 1, 2**127, 2**128 - 1, *(rng.getrandbits(128) for _ in range(40)))
    ]
    names = [f"name {number}" for number in range(40)]
    ids = [*map(str, numbers), *uuids, *names]
    rng.shuffle(ids)
    with place.collection(shards=None if place.embedded else shards) as collection:
        points = [point_id(one, "u64") for one in ids]  # other programs, and earlier versions, use all of u64
        collection.upsert(PointBatch(passages(ids), random_vectors(len(ids)), points))
        expected = sorted(points, key=_scroll_order)
        for limit in (1, 7, len(ids), len(ids) + 1):
            pages = _pages(collection, limit=limit)
            assert [point.id for page in pages for point in page] == expected
            assert all(len(page) == limit for page in pages[:-1])


def test_a_page_holds_payloads_and_vectors_where_they_are_asked_for(collection: Collection) -> None:
    vectors = fill(collection, 20)
    (bare,) = _pages(collection, limit=100)
    assert all(point.payload is None and point.vector is None for point in bare)
    (full,) = _pages(collection, limit=100, payloads=True, vectors=True)
    for point, vector in zip(full, vectors, strict=True):
        assert point.payload == payloads_of(collection, [point.id])[point.id]
        assert point.vector is not None
        assert point.vector.dtype == np.float32
        np.testing.assert_array_equal(point.vector, vector)


def test_a_page_starts_at_the_id_or_after_where_it_is_not_there(collection: Collection) -> None:
    collection.upsert(PointBatch(passages([2, 4, "a name"]), random_vectors(3)))
    last = Passage("a name", "x").point_id
    starts: list[tuple[PointId, list[PointId]]] = [
        (0, [2, 4, last]),
        (3, [4, last]),
        (4, [4, last]),
        (5, [last]),
        (str(uuid.UUID(int=0)), [last]),
        (str(uuid.UUID(int=2**128 - 1)), []),
    ]
    for start, expected in starts:
        assert [point.id for point in collection.reads.scroll(start=start).points] == expected


def test_an_empty_collection_has_one_empty_page(collection: Collection) -> None:
    page = collection.reads.scroll()
    assert (list(page.points), page.following) == ([], None)
    assert vectors_of(collection, [1]) == vectors_of(collection, []) == {}


def test_vectors_are_those_of_the_points_that_are_there(collection: Collection) -> None:
    stored = fill(collection, 5)
    found = vectors_of(collection, [3, 99, 0])
    assert set(found) == {0, 3}
    for number, vector in found.items():
        np.testing.assert_array_equal(vector, stored[int(number)])


def test_deleting_takes_those_points_alone_and_twice_is_fine(collection: Collection) -> None:
    collection.upsert(PointBatch(passages([*range(5), "name"]), random_vectors(6)))
    name = Passage("name", "x").point_id
    for _ in range(2):
        collection.delete_points([1, 3, name, 77])
        assert [point.id for point in collection.reads.scroll().points] == [0, 2, 4]
    collection.delete_points([])
    assert collection.reads.count() == 3


def test_payloads_are_replaced_as_a_whole_and_vectors_stay(collection: Collection) -> None:
    collection.ensure_indexes({"n": "integer"})
    vectors = fill(collection, 600)
    named = Passage("name", "x", payload={"only": "here"})
    collection.upsert(PointBatch([named], random_vectors(1)))
    changed: dict[PointId, dict[str, object]] = {
        number: {"passage_id": str(number), "text": "new", "m": [number, 0.5]} for number in range(0, 600, 2)
    }
    changed[named.point_id] = {"passage_id": "name"}
    collection.replace_payloads(changed)
    collection.replace_payloads({})
    after = {point.id: point for page in _pages(collection, limit=500, payloads=True, vectors=True) for point in page}
    assert len(after) == 601
    for number in range(600):
        expected = changed.get(number, {"passage_id": str(number), "text": f"text of {number}", "n": number})
        assert after[number].payload == expected
        np.testing.assert_array_equal(after[number].vector, vectors[number])
    assert after[named.point_id].payload == changed[named.point_id]


def test_a_closed_collection_says_so(place: Place) -> None:
    with place.collection() as collection:
        pass
    for work in (
        collection.reads.scroll,
        lambda: collection.delete_points([1]),
        lambda: collection.replace_payloads({1: {}}),
    ):
        with pytest.raises(CollectionError, match="is closed; open"):
            work()
