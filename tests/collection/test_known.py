"""Remembered indexes: when they are asked for again."""

from __future__ import annotations

from tasb_qdrant.collection.known import MAX_AGE, KnownIndexes, fields_of
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.protocol import SearchOptions
from tasb_qdrant.collection.server_store import ServerStore
from tasb_qdrant.filters import F
from tasb_qdrant.settings import CollectionSettings, IndexType, store_settings
from tests.collection.faults import HttpProxy
from tests.collection.helpers import CONTRACT, fill, fresh_name, random_vectors
from tests.qdrant_servers import QdrantServer


def test_they_are_read_again_for_a_new_field_and_after_a_minute_only() -> None:
    there: dict[str, IndexType] = {"year": "integer"}
    reads: list[float] = []
    now = 0.0

    def read() -> dict[str, IndexType]:
        reads.append(now)
        return dict(there)

    known = KnownIndexes(read, clock=lambda: now)
    assert known.including({"year"}) == known.including(set()) == there
    assert len(reads) == 1
    there["lang"] = "keyword"
    assert "lang" not in known.including({"year"})
    assert known.including({"lang", "nothing"}) == there
    assert known.including({"year", "nothing"}) == there  # has no index, as is known by now
    assert len(reads) == 2
    now = MAX_AGE
    known.including({"year"})
    assert len(reads) == 3
    known.forget()
    known.including({"year"})
    assert len(reads) == 4


def test_fields_are_found_in_every_part_of_a_filter() -> None:
    where = ((F("a") == 1) & ~F("b.c").exists()) | F("`d`").in_([1, 2])
    assert fields_of(where) == {"a", "b.c", "d"}


def test_a_filtered_search_is_one_request_and_uses_the_integer_index(qdrant_1_17: QdrantServer) -> None:
    with HttpProxy(qdrant_1_17) as proxy:
        store = ServerStore(store_settings(url=proxy.url, transport="rest"))
        name = fresh_name()
        settings = CollectionSettings(indexes={"n": "integer"})
        collection = open_for_writing(name, store, contract=CONTRACT, settings=settings)
        fill(collection, 20)
        options = SearchOptions(where=F("n").in_(range(5, 5000)), limit=100)
        (first,) = collection.search(random_vectors(1), options)
        proxy.when = lambda *_: True
        proxy.seen.clear()
        (second,) = collection.search(random_vectors(1), options)
        assert [path.split("?")[0] for _, path in proxy.seen] == [f"/collections/{name}/points/query/batch"]
        assert first == second
        assert {hit.payload["n"] for hit in first} == set(range(5, 20))
        store.delete(name)
        store.close()
