"""Remembered indexes: when they are asked for again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.reads.filtering import MAX_AGE, KnownIndexes, fields_of
from tasb_qdrant.collection.reads.questions import QueryOptions
from tasb_qdrant.collection.reads.wire import Indexes
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import FilterTypeError
from tasb_qdrant.filters import F
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.conftest import server_settings
from tests.collection.faults import HttpProxy
from tests.collection.helpers import (
    CONTRACT,
    fill,
    fresh_name,
    random_vectors,
    search,
)
from tests.qdrant_servers import QdrantServer


def test_they_are_read_again_for_a_new_field_and_after_a_minute_only() -> None:
    now = 0.0
    known = KnownIndexes(clock=lambda: now)
    assert known.lacks({"year"})
    assert known.lacks(set())
    known.learn(Indexes({"year": "integer"}), {"year"})
    assert not known.lacks({"year"})
    assert known.lacks({"lang", "nothing"})
    known.learn(Indexes({"year": "integer", "lang": "keyword"}), {"lang", "nothing"})
    assert not known.lacks({"year", "lang", "nothing"})  # has no index, as is known by now
    assert known.have_all({"year", "lang"})
    assert not known.have_all({"year", "nothing"})
    now = MAX_AGE
    assert known.lacks({"year"})
    known.learn(known.indexes, {"year"})
    assert not known.lacks({"lang"})
    assert known.lacks({"nothing"})
    known.forget()
    assert known.lacks({"year"})


def test_an_index_that_was_made_anew_to_rank_texts_or_not_to_is_another_one() -> None:
    plain = Indexes({"text": "text"}, points={"text": 5})
    ranking = Indexes({"text": "text"}, points={"text": 5}, scored=frozenset({"text"}))
    known = KnownIndexes()
    for found in (plain, ranking, plain):
        known.learn(found, {"text"})
        assert known.indexes.scored == found.scored
    same = Indexes({"text": "text"}, points={"text": 6})
    known.learn(same, {"text"})
    assert known.indexes is plain  # what was made by it stays good


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
        options = QueryOptions(where=F("n").in_(range(5, 5000)), limit=100)
        (first,) = search(collection, random_vectors(1), options)
        proxy.when = lambda *_: True
        proxy.seen.clear()
        (second,) = search(collection, random_vectors(1), options)
        assert [path.split("?")[0] for _, path in proxy.seen] == [f"/collections/{name}/points/query/batch"]
        assert first == second
        assert {hit.payload["n"] for hit in first} == set(range(5, 20))
        store.delete(name)
        store.close()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_phrase_that_an_index_of_another_program_can_not_find_is_refused(
    qdrant_server: QdrantServer, transport: Any
) -> None:
    name = fresh_name()
    phrase, either = F("text").contains_phrase("text of 1"), F("text").contains("text of 1")
    with (
        closing(QdrantClient(qdrant_server.url, check_compatibility=False)) as client,
        closing(ServerStore(server_settings(qdrant_server, transport))) as store,
    ):
        fill(open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings()), 3)
        words = models.TextIndexParams(type=models.TextIndexType.TEXT)
        client.create_payload_index(name, "text", words, wait=True)
        assert store.open(name).reads.count(either) == 1
        with pytest.raises(FilterTypeError, match=r"text is indexed as text, .* built without phrase matching"):
            store.open(name).reads.count(phrase)
        client.delete_payload_index(name, "text", wait=True)
        client.create_payload_index(name, "text", words.model_copy(update={"phrase_matching": True}), wait=True)
        assert store.open(name).reads.count(phrase) == 1
