"""A collection with BM25 holds two vectors a passage, and stays what it was for those who know of one alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import qdrant_edge as edge
from qdrant_client import models

from tasb_qdrant.collection.open import open_existing, open_for_writing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import BM25, QueryOptions
from tasb_qdrant.collection.schema import METADATA_KEY, CollectionSchema
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.errors import ContractMismatchError, EncodingError, RequestRefusedError, StoreCorruptError
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import Bm25Settings, CollectionSettings
from tests.collection.helpers import (
    CONTRACT,
    Place,
    delete_vectors,
    fresh_name,
    ids_of,
    passages,
    payloads_of,
    random_vectors,
    ranking_of,
    search,
    sparse_of,
    vectors_of,
)

ENGLISH = Bm25Settings(avg_len=4)

TEXTS = [
    "Honeybees tell their nestmates where to find food by dancing",
    "The the of and",
    "Dancing bees dance the dance of dancing: food, food, food!",
    "漢字 und Straßen, naïve cafés 42",
]


def batch(texts: list[str], bm25: Bm25Settings = ENGLISH, *, first: int = 0) -> PointBatch:
    stored = [Passage(str(first + n), text, payload={"n": n}) for n, text in enumerate(texts)]
    return PointBatch(stored, random_vectors(len(texts), seed=first), sparse=Bm25Encoder(bm25).encode_passages(texts))


@pytest.fixture
def lexical(place: Place) -> Iterator[Collection]:
    """An empty collection of 4 dimensions, with BM25."""
    with place.collection(bm25=ENGLISH) as opened:
        yield opened


def words_of(collection: Collection, *ids: int) -> dict[Any, tuple[list[int], list[float]]]:
    """The sparse vectors of these points, to compare."""
    found = sparse_of(collection, list(ids))
    return {one: (words.indices.tolist(), words.values.tolist()) for one, words in found.items()}


def given_words(stored: PointBatch) -> dict[Any, tuple[list[int], list[float]]]:
    assert stored.sparse is not None
    return {
        one: (words.indices.tolist(), words.values.tolist())
        for one, words in zip(stored.point_ids, stored.sparse, strict=True)
    }


def test_both_vectors_come_back_and_the_dense_one_is_searched_without_a_name(lexical: Collection) -> None:
    stored = batch(TEXTS)
    lexical.upsert(stored)
    assert words_of(lexical, 0, 1, 2, 3, 4) == given_words(stored)
    for point_id, vector in vectors_of(lexical, [0, 1, 2, 3, 4]).items():
        assert vector.tolist() == stored.vectors[int(point_id)].tolist()
    page = lexical.reads.scroll(vectors=True)
    assert [point.vector.tolist() for point in page.points if point.vector is not None] == stored.vectors.tolist()
    assert payloads_of(lexical, [2]) == {2: {"passage_id": "2", "text": TEXTS[2], "n": 2}}
    (hits,) = search(lexical, stored.vectors[:1], QueryOptions(limit=4))
    assert not ranking_of(stored.vectors, stored.vectors[0]).mistake(ids_of(hits), limit=4)
    assert sparse_of(lexical, []) == {}


def test_a_new_text_replaces_the_words_also_where_it_has_none(lexical: Collection) -> None:
    lexical.upsert(batch(TEXTS))
    for texts in (["only honey"], ["the"], ["and a bee"]):
        lexical.upsert(batch(texts))
        assert words_of(lexical, 0, 2) == {**given_words(batch(texts)), 2: given_words(batch(TEXTS))[2]}


def test_another_payload_leaves_both_vectors(lexical: Collection) -> None:
    stored = batch(TEXTS)
    lexical.upsert(stored)
    lexical.replace_payloads({0: {"passage_id": "0", "text": "t", "n": 9}})
    assert words_of(lexical, 0) == {0: given_words(stored)[0]}
    assert vectors_of(lexical, [0])[0].tolist() == stored.vectors[0].tolist()
    lexical.delete_points([0])
    assert words_of(lexical, 0) == {}


def test_passages_without_words_where_others_have_some_are_refused_and_the_reverse(
    place: Place, lexical: Collection
) -> None:
    with pytest.raises(RequestRefusedError, match="holds passages with BM25 vectors, got some without them"):
        lexical.upsert(PointBatch(passages([1]), random_vectors(1)))
    with place.collection() as plain:
        plain.upsert(PointBatch(passages([0]), random_vectors(1)))
        with pytest.raises(RequestRefusedError, match="holds passages without BM25 vectors, got some with them"):
            plain.upsert(batch(["t"]))
        assert sparse_of(plain, [0]) == {}
        assert plain.bm25 is None
        assert plain.info().bm25 is None
    with pytest.raises(EncodingError, match="one sparse vector for each of 2 passages, got 1"):
        PointBatch(passages([1, 2]), random_vectors(2), sparse=batch(["t"]).sparse)


def test_parts_of_a_batch_keep_their_words(lexical: Collection) -> None:
    stored = batch(TEXTS)
    for start in range(0, 4, 2):
        lexical.upsert(stored.part(start, start + 2))
    assert words_of(lexical, 0, 1, 2, 3) == given_words(stored)


def test_the_settings_are_kept_and_others_are_refused_by_name(place: Place) -> None:
    name = fresh_name()
    german = Bm25Settings(language="german", k=1.5, avg_len=33.5)
    with place.collection(name, bm25=german) as collection:
        assert collection.bm25 == german.measured(0)
    for wanted in (None, german, Bm25Settings(language="german", k=1.5), Bm25Settings(language="german", k=1.5)):
        with place.collection(name, bm25=wanted) as collection:
            assert collection.bm25 == german.measured(0)
            assert collection.info().to_dict()["bm25"]["language"] == "german"
    with pytest.raises(ContractMismatchError) as caught, place.collection(name, bm25=Bm25Settings(avg_len=5)):
        pass
    assert caught.value.differences == (
        ("BM25 language", "german", "english"),
        ("BM25 k", 1.5, 1.2),
        ("BM25 avg_len", 33.5, 5.0),
    )


def test_a_collection_without_bm25_stays_without_and_says_what_to_do(place: Place) -> None:
    name = fresh_name()
    with place.collection(name):
        pass
    with pytest.raises(ContractMismatchError, match=r"BM25: the collection has none.*another --collection"):
        place.collection(name, bm25=ENGLISH).__enter__()
    with place.collection(name) as collection:
        assert collection.bm25 is None


def test_an_average_that_was_measured_is_for_a_new_collection_alone(place: Place) -> None:
    name = fresh_name()
    for measured in (12.5, 99.0):
        settings = CollectionSettings(bm25=Bm25Settings())
        opened = open_for_writing(name, place.store, contract=CONTRACT, settings=settings, avg_len=measured)
        assert opened.bm25 is not None
        assert opened.bm25.avg_len == 12.5
        opened.close()


def test_earlier_versions_see_by_the_format_that_they_must_not_write(place: Place) -> None:
    formats = {}
    for bm25 in (None, ENGLISH):
        name = fresh_name()
        with place.collection(name, bm25=bm25):
            pass
        if place.settings.path is not None:
            stored = orjson.loads((place.settings.path / name / "collection.json").read_bytes())
        else:
            with place.client() as client:
                stored = client.get_collection(name).config.metadata
        formats[bm25] = stored[METADATA_KEY]["format"]
    assert formats == {None: 3, ENGLISH: 3}


def test_half_precision_and_vectors_on_disk_go_with_words(place: Place) -> None:
    with place.collection(bm25=ENGLISH, vectors="float16", on_disk=True, quantization="int8") as collection:
        stored = batch(TEXTS)
        collection.upsert(stored)
        assert words_of(collection, 0, 1, 2, 3) == given_words(stored)
        assert np.allclose(vectors_of(collection, [2])[2], stored.vectors[2], rtol=1e-3)


def test_the_index_counts_dense_vectors_alone(place: Place) -> None:
    with place.collection(bm25=ENGLISH, dim=64) as collection:
        collection.defer_indexing()
        texts = [f"bee number {n}" for n in range(1_200)]
        stored = [Passage(str(n), text) for n, text in enumerate(texts)]
        collection.upsert(
            PointBatch(stored, random_vectors(1_200, 64), sparse=Bm25Encoder(ENGLISH).encode_passages(texts))
        )
        assert collection.info().indexed == 0
        collection.optimize()
        assert 1_000 <= collection.info().indexed <= 1_200
        collection.settle_index(changed=False)
        # A server would keep what a point of a finished segment had under a name that is left out.
        assert len(words_of(collection, 7)[7][0]) == 3
        collection.upsert(
            PointBatch(stored[7:8], random_vectors(1, 64), None, Bm25Encoder(ENGLISH).encode_passages(["the"]))
        )
        assert words_of(collection, 7) == {7: ([], [])}


def test_any_simple_client_of_a_server_still_works(place: Place) -> None:
    if place.embedded:
        pytest.skip("a server's own clients")
    name = fresh_name()
    with place.collection(name, bm25=ENGLISH) as collection:
        stored = batch(TEXTS)
        collection.upsert(stored)
        with place.client() as client:
            nearest = client.query_points(name, query=stored.vectors[0].tolist(), limit=1, with_vectors=[""]).points[0]
            assert isinstance(nearest.vector, list)
            assert np.allclose(np.array(nearest.vector), stored.vectors[int(nearest.id)])
            by_words = client.query_points(
                name, query=models.SparseVector(**_query("dancing bees")), using=BM25, limit=4
            ).points
            assert [point.id for point in by_words] == [2, 0]
            # What the server itself makes of the query: the same words, and so the same scores.
            document = models.Document(text="dancing bees", model="qdrant/bm25", options={"avg_len": 4})
            asked = models.QueryRequest(query=document, using=BM25, limit=4)
            answer = client.http.search_api.query_points(collection_name=name, query_request=asked).result
            assert answer is not None
            assert [(point.id, point.score) for point in answer.points] == [(p.id, p.score) for p in by_words]


def _query(text: str) -> dict[str, Any]:
    found = Bm25Encoder(ENGLISH).encode_query(text)
    return {"indices": found.indices.tolist(), "values": found.values.tolist()}


def test_the_engines_own_query_without_a_name_still_works(place: Place) -> None:
    if place.settings.path is None:
        pytest.skip("the embedded engine's own")
    name = fresh_name()
    stored = batch(TEXTS)
    with place.collection(name, bm25=ENGLISH) as collection:
        collection.upsert(stored)
    shard = edge.EdgeShard.load(str(place.settings.path / name / "shard"))
    try:
        query = edge.Query.Nearest(stored.vectors[0].tolist())
        found = [str(point.id) for point in shard.query(edge.QueryRequest(limit=4, query=query))]
        assert not ranking_of(stored.vectors, stored.vectors[0]).mistake(found, limit=4)
        words = edge.Query.Nearest(edge.SparseVector(**_query("dancing bees")), using=BM25)
        assert [point.id for point in shard.query(edge.QueryRequest(limit=4, query=words))] == [2, 0]
    finally:
        shard.close()


def test_a_servers_collection_that_lost_its_sparse_vector_is_named(place: Place) -> None:
    if place.embedded:
        pytest.skip("the sidecar and the engine's files are made together")
    name = fresh_name()
    schema = CollectionSchema.of(CONTRACT, CollectionSettings(bm25=ENGLISH))
    with place.client() as client:
        client.create_collection(
            name,
            vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT),
            sparse_vectors_config={BM25: models.SparseVectorParams()},
            metadata=schema.to_metadata(),
        )
        with pytest.raises(StoreCorruptError, match="sparse vector 'bm25' with the IDF modifier"):
            open_existing(name, place.settings)
        client.delete_collection(name)


OPTIONS: list[tuple[Bm25Settings, dict[str, Any]]] = [
    (Bm25Settings(avg_len=256), {}),
    (Bm25Settings(language="german", avg_len=20), {"language": "german", "avg_len": 20.0}),
    (Bm25Settings(language="russian", k=2, b=0.1, avg_len=9), {"language": "russian", "k": 2, "b": 0.1, "avg_len": 9}),
    (Bm25Settings(language="none", avg_len=30), {"language": "none", "avg_len": 30}),
    (
        Bm25Settings(stemmer=False, avg_len=30),
        {"language": "none", "stopwords": {"languages": ["english"], "custom": []}, "avg_len": 30},
    ),
    (Bm25Settings(stopwords=False, avg_len=30), {"stopwords": {"languages": [], "custom": []}, "avg_len": 30}),
    (Bm25Settings(ascii_folding=True, avg_len=30), {"ascii_folding": True, "avg_len": 30}),
    (
        Bm25Settings(language="japanese", avg_len=30),
        {"language": "japanese", "tokenizer": "multilingual", "avg_len": 30},
    ),
]
"""Settings of ours, and what a server calls the same."""

LANGUAGES = [
    *TEXTS,
    "Die Häuser der Männer in den Straßen",
    "Собаки бежали по улицам города",
    "Les élèves étaient arrivés à l'école",
    "東京は日本の首都です。私は東京に住んでいます",
]


@pytest.mark.parametrize(("ours", "theirs"), OPTIONS, ids=lambda value: str(value)[:40])
def test_words_are_encoded_as_the_server_itself_encodes_them(
    place: Place, ours: Bm25Settings, theirs: dict[str, Any]
) -> None:
    if place.embedded or place.settings.transport == "rest":
        pytest.skip("a server's own encoding, whatever the way to it")
    name = fresh_name()
    with place.collection(name, bm25=ours) as collection, place.client() as client:
        stored = batch(LANGUAGES, ours)
        collection.upsert(stored)
        client.http.points_api.upsert_points(
            collection_name=name,
            wait=True,
            point_insert_operations=models.PointsList(
                points=[
                    models.PointStruct(
                        id=100 + n,
                        vector={
                            "": [1.0, 0.0, 0.0, 0.0],
                            BM25: models.Document(text=text, model="qdrant/bm25", options=theirs),
                        },
                    )
                    for n, text in enumerate(LANGUAGES)
                ]
            ),
        )
        own = words_of(collection, *range(100, 100 + len(LANGUAGES)))
        assert {one - 100: words for one, words in own.items()} == words_of(collection, *range(len(LANGUAGES)))


def test_points_that_lost_either_vector_are_told(lexical: Collection) -> None:
    lexical.upsert(batch(TEXTS))
    every = [0, 1, 2, 3]
    assert lexical.reads.without_vectors([]) == lexical.reads.without_vectors(every) == frozenset()
    delete_vectors(lexical, [0])
    delete_vectors(lexical, [2], BM25)
    assert lexical.reads.without_vectors([3, 2, 1, 0, 99]) == {0, 2}
    assert set(vectors_of(lexical, every)) == {1, 2, 3}
    assert set(sparse_of(lexical, every)) == {0, 1, 3}


def test_a_point_without_its_dense_vector_is_told_where_there_are_no_words(place: Place) -> None:
    with place.collection() as collection:
        collection.upsert(PointBatch(passages(range(3)), random_vectors(3)))
        delete_vectors(collection, [1])
        assert collection.reads.without_vectors([0, 1, 2]) == {1}
        assert set(vectors_of(collection, [0, 1, 2])) == {0, 2}
