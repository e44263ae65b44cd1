"""What a server's strict mode allows is read before a load, and kept to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.exceeded import condition_sizes, limit_error
from tasb_qdrant.collection.limits import FLOAT16_MAX, StoreLimits, UpsertLimits, check_representable
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions, ReadOptions, ScoredPoint
from tasb_qdrant.collection.reads.state import State
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.reads.wire import Indexes
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import EncodingError, RequestRefusedError
from tasb_qdrant.filters import F
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import CollectionSettings
from tasb_qdrant.steps import Requests, carry_out
from tests.collection.conftest import server_settings
from tests.collection.helpers import (
    CONTRACT,
    Place,
    fill,
    passages,
    payloads_of,
    random_vectors,
    search,
)
from tests.qdrant_servers import QdrantServer


def limits_of(**strict: Any) -> StoreLimits:
    return StoreLimits.of(models.StrictModeConfigOutput(**{"enabled": True} | strict), vector_bytes=100)


def test_without_strict_mode_there_is_no_limit() -> None:
    assert StoreLimits.of(None, vector_bytes=4) == StoreLimits()
    assert limits_of(enabled=False, upsert_max_batchsize=5, max_points_count=7) == StoreLimits()
    assert limits_of() == StoreLimits()
    assert StoreLimits().notes(5, payload_bytes=10**12, indexed=False) == ()


def test_the_smaller_of_two_limits_holds() -> None:
    assert limits_of(upsert_max_batchsize=50).upsert == UpsertLimits(50)
    assert limits_of(write_rate_limit=100).upsert == UpsertLimits(25)
    assert limits_of(upsert_max_batchsize=10, write_rate_limit=100).upsert == UpsertLimits(10)
    assert limits_of(upsert_max_batchsize=50, write_rate_limit=100).upsert == UpsertLimits(25)
    assert limits_of(write_rate_limit=1).upsert == UpsertLimits(1)
    by_count = limits_of(max_points_count=10, max_collection_vector_size_bytes=1_100)
    assert (by_count.points, by_count.points_by) == (10, "max_points_count")
    by_bytes = limits_of(max_points_count=10, max_collection_vector_size_bytes=900)
    assert (by_bytes.points, by_bytes.points_by) == (9, "max_collection_vector_size_bytes")


def test_a_load_that_cannot_fit_is_refused_with_the_numbers() -> None:
    limits = limits_of(max_points_count=1000)
    limits.check_room(0, 1000, place="here")
    limits.check_room(0, None, place="here")
    limits.check_room(1000, 1001, place="here")  # they may be the same ones
    with pytest.raises(RequestRefusedError, match=r"here: the server allows 1,000 .* \(max_points_count\), and 1,001"):
        limits.check_room(0, 1001, place="here")


def test_what_can_only_be_guessed_is_said() -> None:
    limits = limits_of(
        max_points_count=1000,
        max_collection_payload_size_bytes=5000,
        write_rate_limit=600,
        unindexed_filtering_retrieve=False,
    )
    notes = limits.notes(400, payload_bytes=6000, indexed=False)
    assert [note.split(" (")[0] for note in notes] == [
        "The server takes 600 more passages",
        "The source has 6,000 bytes, and the server takes 5,000 of payload in this collection",
        "The server takes 600 passages a minute at most",
        "The server refuses filters on fields without a payload index",
    ]
    assert len(limits.notes(400, payload_bytes=4000, indexed=True)) == 2
    assert len(limits.notes(400, payload_bytes=None, indexed=True)) == 2


SETTINGS: dict[str, Any] = {
    "max_query_limit": 5,
    "max_timeout": 5,
    "unindexed_filtering_retrieve": False,
    "search_max_hnsw_ef": 5,
    "search_allow_exact": False,
    "search_max_oversampling": 1.5,
    "upsert_max_batchsize": 5,
    "search_max_batchsize": 5,
    "max_collection_vector_size_bytes": 5_000,
    "read_rate_limit": 50,
    "write_rate_limit": 50,
    "max_collection_payload_size_bytes": 5,
    "max_points_count": 5,
    "filter_max_conditions": 5,
    "condition_max_size": 5,
    "sparse_config": {"bm25": models.StrictModeSparseOutput(max_length=5)},
    "max_payload_index_count": 5,
    "max_resident_memory_percent": 50,
}
"""Each is kept to: requests are cut to it, or a note says that it may stop a load."""

NOT_OURS = {
    "enabled": "turns all of them on",
    "unindexed_filtering_update": "no update has a filter: points are found first, and changed by their ids",
    "multivector_config": "collections have no multivectors",
}


def test_every_setting_of_strict_mode_is_considered() -> None:
    known = models.StrictModeConfigOutput.model_fields.keys()
    assert known == SETTINGS.keys() | NOT_OURS.keys(), "say what a new setting limits, or why it doesn't matter"
    for name, value in SETTINGS.items():
        assert limits_of(**{name: value}) != StoreLimits(), name
    for name in NOT_OURS.keys() - {"enabled"}:
        assert limits_of(**{name: {"": {}} if name.endswith("config") else False}) == StoreLimits(), name


@pytest.mark.parametrize(
    ("said", "setting", "asked", "most"),
    [
        ('Bad request: Limit exceeded 21 > 20 for "limit". Help: Reduce', "max_query_limit", 21, 20),
        ('400 {"status":{"error":"Limit exceeded 6 > 5 for \\"timeout\\". Help', "max_timeout", 6, 5),
        ('Limit exceeded 65 > 64 for "hnsw_ef". Help: Reduce', "search_max_hnsw_ef", 65, 64),
        ('Limit exceeded 2 > 1.5 for "oversampling". Help: Reduce', "search_max_oversampling", 2, 1.5),
        ('Limit exceeded 9 > 8 for "something new". Help: Reduce', "something new", 9, 8),
        ("Bad request: Exact search disabled!. Help: Set exact=false.", "search_allow_exact", None, None),
        ("Filter condition limit reached (3 > 2). Help: Reduce", "filter_max_conditions", 3, 2),
        ("Condition size limit reached (3 > 2). Help: Reduce", "condition_max_size", 3, 2),
        (
            'Index required but not found for "n" of one of the following types: [integer]. Help: Create',
            "unindexed_filtering_retrieve",
            None,
            None,
        ),
    ],
)
def test_what_a_server_says_of_a_limit_is_understood(
    said: str, setting: str, asked: float | None, most: float | None
) -> None:
    error = limit_error(said, place="here")
    assert error is not None
    assert (error.setting, error.asked, error.most) == (setting, asked, most)
    assert limit_error("Wrong input: something else", place="here") is None


def test_conditions_are_counted_as_servers_do() -> None:
    some = models.FieldCondition(key="k", match=models.MatchAny(any=["a", "b", "c"]))
    other = models.FieldCondition(key="k", match=models.MatchExcept.model_validate({"except": [1, 2]}))
    nested = models.NestedCondition(nested=models.Nested(key="d", filter=models.Filter(must=[some])))
    least = models.MinShould(conditions=[some, other], min_count=1)
    where = models.Filter(
        must=[models.Filter(must=[nested], should=other)],
        must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key="k"))],
        min_should=least,
    )
    assert sorted(condition_sizes(where)) == [0, 2, 2, 3, 3]
    assert condition_sizes(models.Filter(must=[models.HasIdCondition(has_id=[1, 2])])) == [2]


def test_float16_has_no_room_for_large_numbers() -> None:
    check_representable(np.array([[FLOAT16_MAX, -FLOAT16_MAX]], np.float32), "float16")
    check_representable(np.array([[1e30]], np.float32), "float32")
    check_representable(np.empty((0, 4), np.float32), "float16")
    for bad in (65_600.0, -1e30):
        with pytest.raises(EncodingError, match=r"float16 ends at 65504; store them with --vectors float32"):
            check_representable(np.array([[0, bad]], np.float32), "float16")


@pytest.fixture
def strict(qdrant_server: QdrantServer) -> Iterator[Strict]:
    with Strict(qdrant_server) as strict:
        yield strict


class Strict:
    """Collections of a real server, made by us and then put under strict mode."""

    def __init__(self, server: QdrantServer) -> None:
        self.client = QdrantClient(url=server.url, check_compatibility=False)
        self.store = ServerStore(server_settings(server, retry_seconds=20))

    def collection(self, **limits: Any) -> Collection:
        settings = CollectionSettings()
        contract = replace(CONTRACT, dim=4)
        open_for_writing("c", self.store, contract=contract, settings=settings).close()
        self.put(**limits)
        return open_for_writing("c", self.store, contract=contract, settings=settings)

    def put(self, **limits: Any) -> None:
        self.client.update_collection("c", strict_mode_config=models.StrictModeConfig(enabled=True, **limits))

    def __enter__(self) -> Strict:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.delete("c")
        self.store.close()
        self.client.close()


def test_a_collections_limits_are_known_when_it_is_opened(strict: Strict) -> None:
    collection = strict.collection(
        upsert_max_batchsize=33, max_points_count=500, max_query_limit=44, search_allow_exact=False
    )
    assert collection.limits == StoreLimits(
        upsert=UpsertLimits(33), points=500, points_by="max_points_count", page=44, exact=False
    )


def test_a_batch_limit_that_came_later_splits_the_batch(strict: Strict) -> None:
    collection = strict.collection()
    strict.put(upsert_max_batchsize=10)
    collection.upsert(PointBatch(passages(range(64)), random_vectors(64)))
    assert collection.reads.count() == 64


def test_a_search_asks_for_no_more_effort_than_is_allowed(strict: Strict) -> None:
    collection = strict.collection(search_max_hnsw_ef=16)
    vectors = fill(collection, 50)
    assert len(search(collection, vectors[:1], QueryOptions(limit=5))[0]) == 5


def test_reading_keeps_to_the_read_limits(strict: Strict) -> None:
    collection = strict.collection(read_rate_limit=2000, max_query_limit=20)
    fill(collection, 600)
    assert len(payloads_of(collection, [*range(600), 10**6])) == 600
    assert len(collection.reads.sample(100)) == 20
    assert payloads_of(collection, []) == {}


def test_where_exact_counts_are_refused_ids_are_read_instead(strict: Strict) -> None:
    collection = strict.collection(search_allow_exact=False, max_query_limit=70)
    fill(collection, 200)
    assert collection.reads.count() == 200
    assert collection.reads.count(F("n") >= 150) == 50
    assert collection.info().points == 200


def test_ids_are_looked_for_where_exact_counts_are_refused_since_the_opening(strict: Strict) -> None:
    collection = strict.collection()
    fill(collection, 20)
    strict.put(search_allow_exact=False)
    assert collection.reads.missing([0, 7, 10**6, 19]) == [10**6]
    assert not collection.limits.exact


def test_where_exact_counts_are_refused_the_values_of_an_odd_name_are_read(strict: Strict) -> None:
    collection = strict.collection(search_allow_exact=False)
    collection.ensure_indexes({'"odd kind"': "keyword"})
    odd = [Passage(str(n), "text", payload={"odd kind": "ab"[n // 3]}) for n in range(4)]
    collection.upsert(PointBatch(odd, random_vectors(4)))
    for name in ("`odd kind`", '"odd kind"'):
        assert [(each.value, each.count) for each in collection.reads.facet(name)] == [("a", 3), ("b", 1)]


def test_more_payload_indexes_than_allowed_are_refused_before_any_is_made(strict: Strict) -> None:
    collection = strict.collection(max_payload_index_count=2)
    collection.ensure_indexes({"a": "keyword"})
    with pytest.raises(
        RequestRefusedError, match=r"allows 2 payload indexes .*, there are 1, and 2 more are wanted \(b, c\)"
    ):
        collection.ensure_indexes({"a": "keyword", "b": "integer", "c": "float"})
    assert collection.indexes() == {"a": "keyword"}
    collection.ensure_indexes({"a": "keyword", "b": "integer"})
    collection.ensure_indexes({"a": "keyword", "b": "integer"})  # nothing is missing


def test_an_embedded_collection_has_no_limits(place: Place) -> None:
    if place.embedded:
        with place.collection() as collection:
            assert collection.limits == StoreLimits()


class Recorded:
    """A wire whose requests are the lists of their queries."""

    def query(self, queries: Any, read: ReadOptions) -> Any:
        return list(queries)


def test_queries_are_sent_in_batches_that_a_server_takes() -> None:
    """`search_max_batchsize`, of servers from 1.18 on, and a limit of the reads in a minute."""
    schema = CollectionSchema.of(CONTRACT, CollectionSettings())
    for limits in (limits_of(search_max_batchsize=3), limits_of(read_rate_limit=12)):
        state = State(schema, Indexes({}), limits)
        steps = ReadSteps(Recorded(), state, name="c", location="here")  # type: ignore[arg-type]  # all that is used
        sent: list[int] = []

        def carry(step: Requests, _: object, sent: list[int] = sent) -> list[Any]:
            sent.extend(len(request) for request in step.requests)
            return [[[ScoredPoint(1, 1.0)] for _ in request] for request in step.requests]

        vector = np.ones(CONTRACT.dim, np.float32)
        found = carry_out(steps.query([Nearest(vector)] * 10, QueryOptions(payload=False)), carry)
        assert (len(found), sent) == (10, [3, 3, 3, 1])
