"""What every store promises, over each of them: the embedded one, two server versions, gRPC and REST."""

from __future__ import annotations

import enum
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.collection.open import no_leftover, open_collection, open_existing, open_for_writing, open_store_at
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.reads.questions import QueryOptions
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import (
    CollectionError,
    CollectionNotFoundError,
    ContractMismatchError,
    EncodingError,
    InvalidPassageError,
    RequestRefusedError,
    ServerTooOldError,
    SettingsError,
)
from tasb_qdrant.filters import F
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import MAX_COUNT, CollectionSettings, IndexType, PayloadKeys
from tests.collection.helpers import (
    CONTRACT,
    Place,
    fill,
    fresh_name,
    ids_of,
    passages,
    payloads_of,
    random_vectors,
    ranking_of,
    search,
    store_one,
)
from tests.ranking import float32_slack
from tests.waiting import PATIENCE

ODD_IDS = [
    "0",
    "42",
    str(2**53 - 1),
    str(2**53),
    str(2**64 - 1),
    str(2**64),
    "007",
    "-1",
    "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
    "urn:uuid:6f9619ff-8b86-d011-b42d-00cf4fc964fe",
    "{6f9619ff8b86d011b42d00cf4fc964fd}",
    "msmarco_passage_01_587",
    "Ünïcødé  with spaces/and slashes",
    "١٢",
]


def test_a_passage_comes_back_under_the_id_that_its_source_wrote(collection: Collection) -> None:
    for number, passage_id in enumerate(ODD_IDS, start=1):
        passage = Passage(passage_id, "text")
        assert store_one(collection, passage).id == passage_id
        assert list(payloads_of(collection, [passage.point_id])) == [passage.point_id]
        assert collection.reads.count() == number


def test_text_and_title_come_back_and_no_title_stays_none(collection: Collection) -> None:
    titled = store_one(collection, Passage("1", "text é 漢 👩‍👩‍👧", title="A title"))
    assert (titled.text, titled.title, titled.payload) == ("text é 漢 👩‍👩‍👧", "A title", {})
    assert store_one(collection, Passage("2", "text")).title is None
    assert store_one(collection, Passage("3", "text", title="")).title == ""


class _Level(enum.IntEnum):
    HIGH = 3


PAYLOAD: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "one": 1,
    "one point oh": 1.0,
    "minus zero": -0.0,
    "tenth": 0.1,
    "denormal": 5e-324,
    "huge": 1.7976931348623157e308,
    "round huge": 1e22,
    "i64 max": 2**63 - 1,
    "i64 min": -(2**63),
    "empty string": "",
    "looks like a number": "2020",
    "unicode 漢 é": "👩‍👩‍👧 \u2028 \\ \" ' \t\n",
    "empty list": [],
    "empty object": {},
    "mixed": [1, 1.0, "1", None, True, [], {}, [[2]]],
    "nested": {"a": {"b": [{"c": None}, {"c": [0, 0.0]}]}},
    "a.b": "a dot in the name",
    "a b[]": "odd names",
}


def _exact(value: object) -> object:
    """The value with the type of everything in it, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return type(value), repr(value)


def test_a_payload_of_every_kind_comes_back_exactly(collection: Collection) -> None:
    hit = store_one(collection, Passage("1", "text", payload=PAYLOAD))
    assert _exact(dict(hit.payload)) == _exact(PAYLOAD)
    (stored,) = payloads_of(collection, [1]).values()
    assert _exact(dict(stored)) == _exact({**PAYLOAD, "passage_id": "1", "text": "text"})
    assert _exact(collection.reads.sample(1)) == _exact([dict(stored)])


def test_kin_of_dicts_lists_and_scalars_are_stored_as_what_they_say(collection: Collection) -> None:
    payload = MappingProxyType(
        {"map": MappingProxyType({"x": (1, (2.5,))}), "enum": _Level.HIGH, "np": np.float64(0.5), "s": np.str_("x")}
    )
    hit = store_one(collection, Passage("1", "text", payload=payload))
    expected = {"map": {"x": [1, [2.5]]}, "enum": 3, "np": 0.5, "s": "x"}
    assert _exact(dict(hit.payload)) == _exact(expected)


def test_a_field_named_like_the_id_text_or_title_is_refused(collection: Collection) -> None:
    for name in ("passage_id", "text", "title"):
        with pytest.raises(InvalidPassageError, match=f"{name!r} has the name under which"):
            collection.upsert(PointBatch([Passage("1", "t", payload={name: "x"})], random_vectors(1)))
    assert collection.reads.count() == 0


def test_other_key_names_are_written_kept_and_read(place: Place) -> None:
    name, keys = fresh_name(), PayloadKeys(id="_id", text="page_content", title="heading")
    with place.collection(name, keys=keys) as collection:
        hit = store_one(collection, Passage("a", "the text", title="T", payload={"text": "a field of the source's"}))
        assert (hit.id, hit.text, hit.title) == ("a", "the text", "T")
        assert hit.payload == {"text": "a field of the source's"}
        assert set(collection.reads.sample(1)[0]) == {"_id", "page_content", "heading", "text"}
    with place.collection(name) as collection:  # no keys wanted: those that it has
        assert collection.keys == keys
    with pytest.raises(ContractMismatchError, match="payload key of the text: the collection has page_content"):
        place.collection(name, keys=PayloadKeys()).__enter__()


def test_storing_twice_is_storing_once_and_replaces_all(collection: Collection) -> None:
    collection.upsert(PointBatch([Passage("1", "old", title="T", payload={"a": 1, "b": 2})], random_vectors(1)))
    new = Passage("1", "new", payload={"b": 3})
    for _ in range(2):
        hit = store_one(collection, new, (0, 0, 0, 2))
    assert collection.reads.count() == 1
    assert (hit.text, hit.title, hit.payload, hit.score) == ("new", None, {"b": 3}, 4.0)


def test_nothing_stored_for_an_empty_batch(collection: Collection) -> None:
    collection.upsert(PointBatch([], np.empty((0, 4), np.float32)))
    assert collection.reads.count() == 0


def test_any_memory_layout_is_stored_as_the_same_numbers(collection: Collection) -> None:
    vectors = random_vectors(6)
    layouts = [np.asfortranarray(vectors), np.repeat(vectors, 2, axis=1)[:, ::2], vectors[::-1][::-1]]
    for layout in layouts:
        collection.upsert(PointBatch(passages(range(6)), layout))
        hits = search(collection, vectors, QueryOptions(limit=6))
        for query, found in zip(vectors, hits, strict=True):
            scores = sorted((vectors.astype(np.float64) @ query).tolist(), reverse=True)
            slack = float32_slack(query, vectors)
            assert [hit.score for hit in found] == pytest.approx(scores, rel=0, abs=slack)


def test_hits_are_the_dot_products_that_numpy_finds(place: Place) -> None:
    with place.collection(dim=32) as collection:
        vectors = fill(collection, 500)
        queries = random_vectors(7, 32, seed=1)
        found = search(collection, queries, QueryOptions(limit=20, exact=True))
        assert search(collection, queries, QueryOptions(limit=20, hnsw_ef=256)) == found
    for query, hits in zip(queries, found, strict=True):
        ranking = ranking_of(vectors, query)
        assert not ranking.mistake(ids_of(hits), limit=20)
        assert [hit.score for hit in hits] == pytest.approx(
            [ranking.scores[hit.id] for hit in hits], rel=1e-5, abs=1e-5
        )
        by_cosine = ranking_of(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), query)
        assert by_cosine.mistake(ids_of(hits), limit=20)


def test_a_batch_of_queries_equals_single_ones_and_offset_equals_a_slice(collection: Collection) -> None:
    fill(collection, 50)
    queries = random_vectors(5, seed=2)
    together = search(collection, queries, QueryOptions(limit=50))
    assert [search(collection, query[None], QueryOptions(limit=50))[0] for query in queries] == together
    paged = search(collection, queries, QueryOptions(limit=10, offset=15))
    assert paged == [hits[15:25] for hits in together]
    assert search(collection, queries, QueryOptions(offset=50)) == [[]] * 5


def test_a_limit_above_the_collections_size_finds_all(collection: Collection) -> None:
    fill(collection, 30)
    (hits,) = search(collection, random_vectors(1), QueryOptions(limit=5000))
    assert sorted(ids_of(hits), key=int) == [str(number) for number in range(30)]


def test_no_queries_find_nothing_and_an_empty_collection_has_no_hits(collection: Collection) -> None:
    assert search(collection, np.empty((0, 4), np.float32), QueryOptions()) == []
    assert search(collection, random_vectors(2), QueryOptions()) == [[], []]
    assert (collection.reads.count(), collection.reads.sample(5), payloads_of(collection, [])) == (0, [], {})


def test_a_threshold_leaves_out_lower_scores(collection: Collection) -> None:
    vectors = fill(collection, 50)
    query = random_vectors(1, seed=3)
    ranking = ranking_of(vectors, query[0])
    bound = ranking.between(9)
    (hits,) = search(collection, query, QueryOptions(limit=50, score_threshold=bound))
    assert not ranking.mistake(ids_of(hits), limit=10)
    assert min(hit.score for hit in hits) > bound


def test_filters_of_ours_and_of_qdrant_client_select_the_same(collection: Collection) -> None:
    fill(collection, 40)
    ours = (F("n") >= 30) | F("n").in_([1, 2])
    theirs = models.Filter(
        should=[
            models.FieldCondition(key="n", range=models.Range(gte=30)),
            models.FieldCondition(key="n", match=models.MatchAny(any=[1, 2])),
        ]
    )
    expected = {"1", "2", *map(str, range(30, 40))}
    for where in (ours, theirs):
        assert collection.reads.count(where) == len(expected)
        (hits,) = search(collection, random_vectors(1), QueryOptions(limit=40, where=where))
        assert set(ids_of(hits)) == expected
    assert collection.reads.count(F("n") > 1000) == 0
    assert collection.reads.count() == 40


def test_payloads_are_those_of_the_points_that_are_there(collection: Collection) -> None:
    collection.upsert(PointBatch(passages(["5", "abc"]), random_vectors(2)))
    known = [Passage("5", "x").point_id, Passage("abc", "x").point_id]
    found = payloads_of(collection, [*known, 6, 2**64 - 1, str(uuid.UUID(int=7))])
    assert {point: payload["passage_id"] for point, payload in found.items()} == dict(
        zip(known, ["5", "abc"], strict=True)
    )


def test_a_sample_is_as_many_payloads_as_there_are_up_to_the_limit(collection: Collection) -> None:
    fill(collection, 12)
    assert len(collection.reads.sample(5)) == 5
    assert {payload["passage_id"] for payload in collection.reads.sample(100)} == {str(number) for number in range(12)}


ALL_INDEXES: dict[str, IndexType] = {
    "kw": "keyword",
    "int": "integer",
    "float": "float",
    "bool": "bool",
    "when": "datetime",
    "place": "geo",
    "body": "text",
    "uid": "uuid",
}
INDEXED_PAYLOAD = {
    "kw": "x",
    "int": 7,
    "float": 1.5,
    "bool": True,
    "when": "2020-05-06T07:08:09Z",
    "place": {"lat": 52.5, "lon": 13.4},
    "body": "Some Words here",
    "uid": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
}


def test_every_index_type_is_made_and_found_by_whether_points_come_before_or_after(place: Place) -> None:
    name = fresh_name()
    with place.collection(name) as collection:
        assert collection.indexes() == {}
        store_one(collection, Passage("1", "before", payload=INDEXED_PAYLOAD))
        collection.ensure_indexes(ALL_INDEXES)
        store_one(collection, Passage("2", "after", payload=INDEXED_PAYLOAD))
        collection.upsert(PointBatch([Passage("3", "other")], random_vectors(1)))
    with place.collection(name) as collection:
        assert collection.indexes() == ALL_INDEXES == collection.info().indexes
        assert collection.reads.count((F("kw") == "x") & (F("int") == 7) & (F("float") > 1) & (F("bool") == True)) == 2  # noqa: E712
        assert collection.reads.count(F("body").contains("words")) == 2
        assert collection.reads.count(F("body").contains_phrase("words here")) == 2
        assert collection.reads.count(F("body").contains_phrase("words some") | F("body").contains_any("word")) == 0
        assert (
            collection.reads.count(F.ids(["1", "3", "4"]) & F("place").in_polygon([(52, 13), (52, 14), (53, 13)])) == 1
        )
        assert collection.reads.count(F("place").within(of=(52.5, 13.4), km=1)) == 2


def test_indexes_that_are_there_are_left_and_another_type_is_refused(collection: Collection) -> None:
    collection.ensure_indexes({"year": "integer"})
    collection.ensure_indexes({"year": "integer", "lang": "keyword"})
    with pytest.raises(RequestRefusedError, match=r"'year' .* is indexed as integer, not as float"):
        collection.ensure_indexes({"new": "bool", "year": "float"})
    assert collection.indexes() == {"year": "integer", "lang": "keyword"}


def _threshold_in_force(place: Place, name: str) -> int | None:
    with place.client() as client:
        return client.get_collection(name).config.optimizer_config.indexing_threshold


def test_after_a_deferred_load_optimize_indexes_all_and_restores_the_threshold(place: Place) -> None:
    with place.collection(dim=64, indexing_threshold_kb=4321) as collection:
        collection.defer_indexing()
        vectors = fill(collection, 3000)
        if not place.embedded:
            assert _threshold_in_force(place, collection.name) == 0
        assert collection.info().indexed == 0
        seen: list[OptimizeProgress] = []
        collection.optimize(seen.append)
        info = collection.info()
        assert (info.points, info.indexed) == (3000, 3000)
        assert {progress.points for progress in seen} == {3000}
        assert (seen[-1].indexed, seen[-1].waiting_for) == (3000, "")
        assert any(progress.waiting_for for progress in seen)
        if not place.embedded:
            assert _threshold_in_force(place, collection.name) == 4321
        queries = random_vectors(20, 64, seed=5)
        found = search(collection, queries, QueryOptions(limit=10))
        best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
        hits = sum(len({*ids_of(h)} & {*map(str, row)}) for h, row in zip(found, best, strict=True))
        assert hits >= 190
        collection.optimize()  # nothing is left to do
        assert collection.info().indexed == 3000


def test_a_load_that_was_killed_is_made_up_for_by_optimize(place: Place) -> None:
    name = fresh_name()
    with place.collection(name, dim=64) as collection:
        collection.defer_indexing()
        fill(collection, 3000)
    opened = open_existing(name, place.settings)  # as another process would
    try:
        opened.optimize()
        assert opened.info().indexed == 3000
    finally:
        opened.close()
    if not place.embedded:
        assert _threshold_in_force(place, name) == 10_000


def test_after_a_deferred_load_settling_is_optimizing_and_after_that_nothing(place: Place) -> None:
    with place.collection(dim=64, indexing_threshold_kb=4321) as collection:
        collection.defer_indexing()
        fill(collection, 3000)
        assert collection.index_deferred() is not place.embedded
        assert collection.info().index_deferred is not place.embedded
        collection.settle_index(changed=True)
        assert not collection.index_deferred()
        info = collection.info()
        assert (info.indexed, info.index_deferred) == (3000, False)
        if not place.embedded:
            assert _threshold_in_force(place, collection.name) == 4321
        seen: list[OptimizeProgress] = []
        collection.settle_index(changed=False, on_progress=seen.append)
        assert seen == []


def test_what_was_added_to_an_indexed_collection_is_found_after_settling(place: Place) -> None:
    with place.collection(dim=64) as collection:
        fill(collection, 2000)
        collection.optimize()
        vectors = fill(collection, 2100)
        collection.settle_index(changed=True)
        assert collection.reads.count() == 2100
        hits = search(collection, vectors[2000:], QueryOptions(limit=1, exact=False))
        best = np.argmax(vectors[2000:] @ vectors.T, axis=1)
        assert sum(found[0].id == str(row) for row, found in zip(best, hits, strict=True)) >= 95


def test_float16_vectors_find_the_same_with_scores_that_are_nearly_the_same(place: Place) -> None:
    name = fresh_name()
    with place.collection(name, dim=64, vectors="float16") as collection:
        vectors = fill(collection, 2000)
        collection.optimize()
        info = collection.info()
        assert (info.vectors, info.to_dict()["vectors"], info.indexed) == ("float16", "float16", 2000)
        queries = random_vectors(20, 64, seed=5)
        found = search(collection, queries, QueryOptions(limit=10))
        truth = queries @ vectors.T
        for query, hits in enumerate(found):
            assert len({*ids_of(hits)} & {*map(str, np.argsort(-truth[query])[:10])}) >= 9
            for hit in hits:
                assert hit.score == pytest.approx(truth[query, int(hit.id)], rel=1e-3, abs=0.5)
        for bad in (70_000, -1e30):
            with pytest.raises(EncodingError, match="float16 ends at 65504"):
                collection.upsert(PointBatch(passages(["new"]), np.full((1, 64), bad, np.float32)))
        assert collection.reads.count() == 2000
    with place.collection(name, dim=64) as collection:
        assert collection.info().vectors == "float16"
    with place.collection(fresh_name(), dim=64) as collection:
        assert collection.info().vectors == "float32"


def test_optimizing_nothing_or_hardly_anything_is_quick(place: Place) -> None:
    for count, most in ((0, 4), (3, 12)):
        with place.collection() as collection:
            collection.defer_indexing()
            fill(collection, count)
            seen: list[OptimizeProgress] = []
            collection.optimize(seen.append)
            assert collection.reads.count() == count
            assert place.embedded or len(seen) <= most


def test_points_that_were_replaced_are_in_the_index_too(place: Place) -> None:
    with place.collection(dim=64) as collection:
        fill(collection, 3000)
        collection.optimize()
        vectors = random_vectors(1000, 64, seed=9)
        collection.upsert(PointBatch(passages(range(1000)), vectors))
        collection.optimize()
        assert collection.info().points == 3000
        (hits,) = search(collection, vectors[:1], QueryOptions(limit=1000))
        assert next(hit.score for hit in hits if hit.id == "0") == pytest.approx(float(vectors[0] @ vectors[0]))


def test_what_the_progress_callback_raises_ends_optimize_and_the_collection_lives_on(place: Place) -> None:
    with place.collection(dim=64, indexing_threshold_kb=777) as collection:
        fill(collection, 3000)

        def interrupt(_: OptimizeProgress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collection.optimize(interrupt)
        assert collection.reads.count() == 3000
        if not place.embedded:
            assert _threshold_in_force(place, collection.name) == 777
        collection.optimize()
        assert collection.info().indexed == 3000


def test_vectors_of_another_size_are_refused_before_anything_is_stored(collection: Collection) -> None:
    for dim in (3, 5):
        with pytest.raises(RequestRefusedError, match="holds vectors of 4"):
            collection.upsert(PointBatch(passages(range(3)), random_vectors(3, dim)))
        assert collection.reads.count() == 0
        with pytest.raises(RequestRefusedError, match="holds vectors of 4"):
            search(collection, random_vectors(1, dim), QueryOptions())
    with pytest.raises(RequestRefusedError, match="holds vectors of 4"):
        search(collection, random_vectors(1)[0], QueryOptions())


def test_numbers_that_are_not_finite_are_refused(collection: Collection) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        vectors = random_vectors(3)
        vectors[1, 2] = bad
        with pytest.raises(EncodingError, match="passage '1' is not finite"):
            PointBatch(passages(range(3)), vectors)
        with pytest.raises(EncodingError, match="query's vector is not finite"):
            search(collection, vectors, QueryOptions())


def test_a_batch_needs_one_float32_vector_a_passage() -> None:
    with pytest.raises(EncodingError, match=r"each of 2 passages, got an array of shape \(3, 4\)"):
        PointBatch(passages(range(2)), random_vectors(3))
    with pytest.raises(EncodingError, match="must be float32, got float64"):
        PointBatch(passages(range(1)), np.zeros((1, 4)))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("name", ["limit", "offset", "hnsw_ef"])
@pytest.mark.parametrize("value", [-1, 2**31, 2**80, True, 5.0, "5", float("nan")])
def test_search_options_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a whole number, at least [01] and at most 2147483647"):
        QueryOptions(**{name: value})


def test_no_hits_and_no_candidates_at_all_make_no_sense_either() -> None:
    for name in ("limit", "hnsw_ef"):
        wrong: dict[str, Any] = {name: 0}
        with pytest.raises(SettingsError, match=r"at least 1 .*, got 0"):
            QueryOptions(**wrong)


def test_the_largest_search_options_are_taken(collection: Collection) -> None:
    fill(collection, 20)
    most = MAX_COUNT
    for options in (QueryOptions(limit=most), QueryOptions(hnsw_ef=most), QueryOptions(limit=most, exact=True)):
        assert len(search(collection, random_vectors(1), options)[0]) == min(20, options.limit)
    assert search(collection, random_vectors(1), QueryOptions(limit=most, offset=most)) == [[]]


def _fail_after(use: Callable[[Collection], None], name: str, store: Store) -> None:
    with no_leftover(name, store):
        use(open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings()))
        raise ZeroDivisionError


def _fill_and_close(collection: Collection, *, count: int) -> None:
    fill(collection, count)
    collection.close()


def test_a_failed_block_deletes_only_a_collection_that_is_new_and_empty(place: Place) -> None:
    name = fresh_name()
    for there, stored in ((False, 0), (False, 1), (True, 0)):
        store = open_store_at(place.settings)
        if there:
            with place.collection(name):
                pass
        with pytest.raises(ZeroDivisionError):
            _fail_after(partial(_fill_and_close, count=stored), name, store)
        assert store.exists(name) == (there or bool(stored))
        if store.exists(name):
            store.delete(name)
        store.close()


def test_a_new_collection_whose_indexes_are_refused_is_not_left_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RequestRefusedError("no")

    with place.collection() as opened:
        opened.ensure_indexes({"n": "integer"})
        monkeypatch.setattr(type(opened), "ensure_indexes", refuse)
    name = fresh_name()
    with pytest.raises(RequestRefusedError, match="no"), place.collection(name):
        pass
    assert not place.store.exists(name)
    mistyped = place.collection(opened.name, indexes={"n": "float"})
    with pytest.raises(RequestRefusedError, match="is indexed as integer, not as float"), mistyped:
        pass
    assert place.store.exists(opened.name)  # was there before


def test_a_deletion_that_fails_never_hides_the_cause(place: Place) -> None:
    store = open_store_at(place.settings)
    opened: list[Collection] = []

    def leave_open(collection: Collection) -> None:
        opened.append(collection)  # so that the embedded one is locked
        store.close()

    with pytest.raises(ZeroDivisionError) as caught:
        _fail_after(leave_open, fresh_name(), store)
    assert "could not be deleted: " in "".join(caught.value.__notes__)
    opened[0].close()


def test_a_with_block_closes_a_collection(place: Place) -> None:
    with place.collection() as made:
        name = made.name
    with open_existing(name, place.settings) as opened:
        assert opened.reads.count() == 0
    with pytest.raises(CollectionError, match="is closed"):
        opened.reads.count()


def test_settings_that_an_existing_collection_does_not_take_over_are_noted(place: Place) -> None:
    name = fresh_name()
    with place.collection(name, quantization="int8", hnsw_m=32) as made:
        assert made.notes == ()
    with place.collection(name, quantization="int8") as again:
        assert again.notes == ()
    with place.collection(name, quantization="binary", on_disk=True, shards=2) as other:
        (note,) = other.notes
        assert "its own quantization (int8, not binary), on_disk, shards: these are kept" in note


def test_a_long_list_of_integers_finds_the_same_before_and_after_the_index_is_made(place: Place) -> None:
    where = F("n").in_(range(5, 500, 2))
    with place.collection() as collection:
        fill(collection, 50)
        before = collection.reads.count(where)
        collection.ensure_indexes({"n": "integer"})
        assert (before, collection.reads.count(where)) == (23, 23)


def test_vectors_of_every_float32_are_stored_bit_for_bit(collection: Collection) -> None:
    extreme = np.array([[3.4028235e38, 1.1754944e-38, 1e-45, -0.0]], dtype=np.float32)
    collection.upsert(PointBatch(passages([1]), extreme))
    for axis in range(4):
        unit = np.eye(4, dtype=np.float32)[axis : axis + 1]
        (hits,) = search(collection, unit, QueryOptions(exact=True))
        assert hits[0].score == extreme[0, axis]


def test_the_contract_and_settings_come_back_and_notes_are_empty(place: Place) -> None:
    name = fresh_name()
    contract = replace(CONTRACT, model="modèle/漢", query_prompt="query: \n", normalized=True)
    with place.collection(name, contract=contract, quantization="int8"):
        pass
    opened = open_existing(name, place.settings)
    try:
        assert opened.contract == contract
        info = opened.info()
        assert info.to_dict()["contract"] == contract.to_dict()
        assert (info.name, info.location, info.quantization) == (name, place.settings.location, "int8")
        assert (opened.notes, opened.name, opened.location) == ((), name, place.settings.location)
    finally:
        opened.close()


OTHER_CONTRACTS: list[tuple[dict[str, Any], str]] = [
    ({"weights": "b2" * 32, "model": "other"}, r"model: the collection has some/model \(a1a1a1a1a1a1\), this run has"),
    ({"dim": 8}, "dim: the collection has 4, this run has 8"),
    ({"pooling": "mean"}, "pooling: the collection has cls, this run has mean"),
    ({"normalized": True, "max_length": 256}, "normalized: .*; max length: the collection has 512, this run has 256"),
    ({"distance": "Cosine"}, "distance: the collection has Dot, this run has Cosine"),
]


def test_another_model_is_refused_with_the_difference_named(place: Place) -> None:
    name = fresh_name()
    with place.collection(name) as collection:
        store_one(collection, Passage("1", "text"))
    for change, said in OTHER_CONTRACTS:
        with pytest.raises(ContractMismatchError, match=said):
            place.collection(name, contract=replace(CONTRACT, **change)).__enter__()
    with place.collection(name, contract=replace(CONTRACT, precision="bf16", model="/a/copy")) as collection:
        assert collection.reads.count() == 1


def test_a_precision_that_is_gone_keeps_no_one_from_a_collection(place: Place) -> None:
    name = fresh_name()
    with place.collection(name, contract=replace(CONTRACT, precision="fp8")) as collection:
        store_one(collection, Passage("1", "text"))
    with place.collection(name) as collection:
        assert collection.contract.precision == "fp8"
        assert collection.reads.count() == 1


def test_making_a_collection_twice_is_refused_and_opening_for_writing_twice_is_not(place: Place) -> None:
    name, settings = fresh_name(), CollectionSettings()
    schema = CollectionSchema.of(CONTRACT, settings)
    place.store.create(name, schema, settings)
    with pytest.raises(RequestRefusedError, match="already"):
        place.store.create(name, schema, settings)
    assert place.store.names() == [name]
    for _ in range(2):
        open_for_writing(name, place.store, contract=CONTRACT, settings=settings).close()


def test_names_that_every_store_can_have_work(place: Place) -> None:
    names = ["9", "Docs.v1-2_b", "_x", "a", "x" * 200]
    for name in names:
        with place.collection(name) as collection:
            assert collection.name == name
            store_one(collection, Passage("1", "text"))
    assert place.store.names() == names


BAD_NAMES = ["", ".", "..", "../up", "a/b", "/abs", "-x", ".hidden", "x" * 201, "é", "a b", "a\n", "a\\b", "a\0b"]


def test_names_that_some_store_can_not_have_are_refused_everywhere(place: Place) -> None:
    settings = CollectionSettings()
    for name in BAD_NAMES:
        with pytest.raises(SettingsError, match="collection's name has 1 to 200"):
            open_existing(name, place.settings)
        with pytest.raises(SettingsError, match="collection's name has 1 to 200"):
            open_for_writing(name, place.store, contract=CONTRACT, settings=settings)
        with pytest.raises(SettingsError, match="collection's name has 1 to 200"):
            place.store.create(name, CollectionSchema.of(CONTRACT, settings), settings)
        with pytest.raises((SettingsError, CollectionNotFoundError, RequestRefusedError)):
            place.store.delete(name)
    assert place.store.names() == []


def test_a_collection_is_deleted_whole_and_a_missing_one_is_named(place: Place) -> None:
    with place.collection("here") as collection:
        store_one(collection, Passage("1", "text"))
    with place.collection("there"):
        pass
    place.store.delete("here")
    assert (place.store.exists("here"), place.store.names()) == (False, ["there"])
    for missing in (place.store.delete, place.store.open):
        with pytest.raises(CollectionNotFoundError, match=r"no collection 'here' .* collections there: there;"):
            missing("here")
    with pytest.raises(CollectionNotFoundError) as caught:
        open_existing("here", place.settings)
    assert (caught.value.name, caught.value.available) == ("here", ("there",))
    with place.collection("here") as collection:
        assert collection.reads.count() == 0


def test_every_collection_is_listed_with_what_it_holds(place: Place) -> None:
    assert list_collections(place.settings) == []
    with place.collection("b") as collection:
        fill(collection, 3)
    with place.collection("a"):
        pass
    listed = list_collections(place.settings)
    assert [(each.name, each.info.points if each.info else None, each.remark) for each in listed] == [
        ("a", 0, ""),
        ("b", 3, ""),
    ]
    assert [each.to_dict()["name"] for each in listed] == ["a", "b"]


def test_a_closed_collection_says_so_whatever_is_asked(place: Place) -> None:
    with place.collection() as collection:
        pass
    collection.close()
    uses: list[Callable[[], object]] = [
        collection.reads.count,
        collection.info,
        collection.indexes,
        collection.optimize,
        lambda: collection.reads.sample(1),
        lambda: payloads_of(collection, [1]),
        lambda: collection.ensure_indexes({"a": "bool"}),
        lambda: collection.upsert(PointBatch(passages([1]), random_vectors(1))),
        lambda: search(collection, random_vectors(1), QueryOptions()),
    ]
    for use in uses:
        with pytest.raises(CollectionError, match="closed"):
            use()


def test_a_collection_that_owns_its_connection_closes_it(place: Place) -> None:
    with place.collection("own"):
        pass
    settings = place.settings
    opened = open_collection(
        "own", url=settings.url, path=settings.path, transport=settings.transport, grpc_port=settings.grpc_port
    )
    assert opened.reads.count() == 0
    opened.close()
    with pytest.raises(CollectionError, match="closed"):
        opened.reads.count()


def test_eight_threads_at_once_store_and_find_everything(collection: Collection) -> None:
    start = threading.Barrier(8)

    def work(thread: int) -> None:
        start.wait(PATIENCE)
        vectors = random_vectors(50, seed=thread)
        for index in range(0, 50, 10):
            ids = [f"{thread}-{index + offset}" for offset in range(10)]
            collection.upsert(PointBatch(passages(ids), vectors[index : index + 10]))
            search(collection, vectors[:2], QueryOptions(where=F("n") >= 0))
            assert collection.reads.count() >= index

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert collection.reads.count() == 400
    stored = {payload["passage_id"] for payload in collection.reads.sample(1000)}
    assert stored == {f"{thread}-{index}" for thread in range(8) for index in range(50)}


@pytest.mark.parametrize("quantization", ["int8", "binary", "turbo4"])
def test_quantized_collections_find_the_same_passages(place: Place, quantization: str) -> None:
    on_disk = quantization == "binary"
    if quantization == "turbo4" and not place.embedded:
        with pytest.raises(ServerTooOldError, match=r"turbo4 needs Qdrant 1\.18 .* choose int8 or binary"):
            place.collection("never", quantization=quantization).__enter__()
        assert list_collections(place.settings) == []
        return
    with place.collection(dim=256, quantization=quantization, on_disk=on_disk) as collection:
        vectors = random_vectors(300, 256)
        vectors *= np.linspace(9, 11, 300, dtype=np.float32)[:, None] / np.linalg.norm(vectors, axis=1, keepdims=True)
        collection.upsert(PointBatch(passages(range(300)), vectors))
        collection.optimize()
        assert collection.info().quantization == quantization
        queries = vectors[:20] + random_vectors(20, 256, seed=1) * np.float32(0.01)
        found = search(collection, queries, QueryOptions(limit=10))
        exact = search(collection, queries, QueryOptions(limit=10, exact=True))
    for query, hits, best in zip(queries, found, exact, strict=True):
        scores = vectors @ query
        ranking = ranking_of(vectors, query)
        assert not ranking.mistake(ids_of(best), limit=10)
        assert not ranking.mistake(ids_of(hits)[:1], limit=1)
        # Rescored with the original vectors: the score is the dot product, not its approximation.
        assert [hit.score for hit in hits] == pytest.approx([float(scores[int(hit.id)]) for hit in hits], rel=1e-4)
    if not place.embedded:
        with place.client() as client:
            config = client.get_collection(collection.name).config
            assert config.quantization_config is not None
            assert isinstance(config.params.vectors, models.VectorParams)
            assert bool(config.params.vectors.on_disk) == on_disk


def test_the_embedded_store_refuses_shards_and_servers_take_them(place: Place) -> None:
    if place.embedded:
        for option in ("shards", "replicas", "write_consistency"):
            wanted: dict[str, Any] = {option: 2}
            with pytest.raises(SettingsError, match=f"has no {option}"):
                place.collection("x", **wanted).__enter__()
        assert list_collections(place.settings) == []
        return
    with place.collection(shards=3, hnsw_m=8, hnsw_ef_construct=64) as collection, place.client() as client:
        config = client.get_collection(collection.name).config
        assert (config.params.shard_number, config.hnsw_config.m, config.hnsw_config.ef_construct) == (3, 8, 64)


def test_a_collection_made_anew_under_its_old_name_is_told_apart(place: Place) -> None:
    name, settings = fresh_name(), CollectionSettings()
    made: list[str] = []
    for _ in range(2):
        place.store.create(name, CollectionSchema.of(CONTRACT, settings), settings)
        for _ in range(2):
            opened = place.store.open(name)
            made.append(opened.identity)
            opened.close()
        place.store.delete(name)
    assert made[0] == made[1] != made[2] == made[3]
    assert all(made)


def test_a_collection_of_before_they_had_numbers_opens_without_one(place: Place) -> None:
    name, settings = fresh_name(), CollectionSettings()
    old = CollectionSchema.of(CONTRACT, settings).model_copy(update={"id": ""})
    place.store.create(name, old, settings)
    opened = place.store.open(name)
    assert opened.identity == ""
    opened.close()
