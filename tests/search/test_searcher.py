"""`Searcher` over the embedded store and a server: the same answers."""

from __future__ import annotations

import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant import Encoder, F, Passage, Searcher, ingest
from tasb_qdrant.errors import (
    CollectionNotFoundError,
    ContractMismatchError,
    FilterError,
    FilterSyntaxError,
    FilterTypeError,
    InvalidInputError,
    NotOurCollectionError,
    SettingsError,
)
from tasb_qdrant.search.where import FilterWarning
from tests.models import make_tasb_like
from tests.qdrant_servers import QdrantServer
from tests.ranking import difference
from tests.search.conftest import BATCH_CHANGES, BEES, SETTINGS, scored

EXAMPLES = Path(__file__).resolve().parents[2] / "tasb_qdrant" / "examples"


def test_the_best_hit_answers_the_question(searcher: Searcher) -> None:
    hits = searcher.search(BEES, limit=5)
    assert hits[0].id == "bees-waggle-dance"
    assert hits[0].title
    assert hits[0].payload["topic"] == "animals"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_batch_gives_what_single_searches_give(searcher: Searcher) -> None:
    queries = [BEES, "early telescopes", "how to bake bread", "renewable energy"]
    singles = [searcher.search(query, limit=7, exact=True) for query in queries]
    batch = searcher.search_batch(queries, limit=7, exact=True)
    for together, alone in zip(batch, singles, strict=True):
        assert not difference(scored(together), scored(alone), tolerance=BATCH_CHANGES)


def test_a_score_is_the_dot_product(searcher: Searcher, encoder: Encoder) -> None:
    hit = searcher.search(BEES, limit=1)[0]
    passage = Passage(hit.id, hit.text, title=hit.title)
    query, vector = encoder.encode_queries([BEES])[0], encoder.encode_passages([passage.encoder_text])[0]
    assert hit.score == pytest.approx(float(query @ vector), abs=1e-5)


@pytest.mark.parametrize(
    "where",
    [
        'year >= 2000 and lang in ["en", "de"] and not topic = "music"',
        (F("year") >= 2000) & F("lang").in_(["en", "de"]) & ~(F("topic") == "music"),
        models.Filter(
            must=[
                models.FieldCondition(key="year", range=models.Range(gte=2000)),
                models.FieldCondition(key="lang", match=models.MatchAny(any=["en", "de"])),
            ],
            must_not=[models.FieldCondition(key="topic", match=models.MatchValue(value="music"))],
        ),
    ],
    ids=["text", "F", "qdrant-client"],
)
def test_a_filter_means_the_same_in_each_of_its_three_forms(searcher: Searcher, where: object) -> None:
    hits = searcher.search("music and dance", limit=200, where=where, exact=True)  # type: ignore[arg-type]
    assert len(hits) == searcher.count(where)  # type: ignore[arg-type]
    assert len(hits) > 50
    for hit in hits:
        assert hit.payload["year"] >= 2000
        assert hit.payload["lang"] in {"en", "de"}
        assert hit.payload["topic"] != "music"


def test_full_text_conditions_search_the_text(searcher: Searcher) -> None:
    hits = searcher.search("the sky", where=F("text").contains("telescope"), limit=50)
    assert hits
    assert all("telescope" in hit.text.lower() for hit in hits)


def test_values_of_the_wrong_type_are_refused(searcher: Searcher) -> None:
    with pytest.raises(FilterTypeError, match="year is indexed as integer"):
        searcher.search(BEES, where=F("year") >= "2000")
    with pytest.raises(FilterSyntaxError):
        searcher.search(BEES, where="year >= and")


def test_an_unknown_field_is_a_warning_that_points_at_the_caller(searcher: Searcher) -> None:
    for call in (
        lambda: searcher.search(BEES, where=F("yaer") == 3),
        lambda: searcher.search_batch([BEES], where=F("yaer") == 3),
        lambda: searcher.count(F("yaer") == 3),
    ):
        with pytest.warns(FilterWarning, match="yaer") as caught:
            call()
        assert (caught[0].filename, caught[0].lineno) == (__file__, call.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (F("year"), r'F\("year"\) without a comparison is no filter'),
        ({"year": 2020}, r"qdrant_client\.models\.Filter, got dict"),
        (models.FieldCondition(key="year", match=models.MatchValue(value=1)), "got FieldCondition"),
        (2020, "got int"),
        ([], "got list"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(searcher: Searcher, wrong: Any, said: str) -> None:
    for call in (
        lambda: searcher.search(BEES, where=wrong),
        lambda: searcher.search_batch([], where=wrong),
        lambda: searcher.count(wrong),
    ):
        with pytest.raises(FilterError, match=said):
            call()


def test_fields_without_an_index_are_known_from_the_payloads(searcher: Searcher) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert searcher.count(F("tags") == "telescope") >= 3


@pytest.mark.parametrize("query", ["", " \n"])
def test_an_empty_query_is_refused(searcher: Searcher, query: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^the query is empty"):
        searcher.search(query)
    with pytest.raises(InvalidInputError, match=r"^query 1 is empty"):
        searcher.search_batch([BEES, query])


def test_queries_of_any_iterable_are_taken_and_what_is_no_string_is_named(searcher: Searcher) -> None:
    queries = [BEES, "early telescopes"]
    assert searcher.search_batch(query for query in queries) == searcher.search_batch(queries)
    wrong: Any
    for wrong, said in ((None, "got NoneType"), (7, "got int"), ([BEES, 7], "query 1 is of type int")):
        with pytest.raises(SettingsError, match=said):
            searcher.search_batch(wrong)
    for wrong in (None, 7, [BEES]):
        with pytest.raises(SettingsError, match="the query must be a string, got"):
            searcher.search(wrong)


def test_arguments_are_checked_before_a_query_is_encoded(
    searcher: Searcher, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: object) -> None:
        raise RuntimeError("encoded")

    monkeypatch.setattr(encoder, "encode_queries", never)
    with pytest.raises(FilterSyntaxError):
        searcher.search(BEES, where="year >= and")
    wrong: Any
    for wrong in (0, 2**31, True, "5", 1.0):
        with pytest.raises(SettingsError, match="limit must be a whole number"):
            searcher.search(BEES, limit=wrong)
    with pytest.raises(RuntimeError, match="encoded"):
        searcher.search(BEES)


def test_arguments_that_make_no_sense_are_refused(searcher: Searcher) -> None:
    with pytest.raises(SettingsError, match="limit"):
        searcher.search(BEES, limit=0)
    with pytest.raises(SettingsError, match="one string"):
        searcher.search_batch(BEES)
    assert searcher.search_batch([]) == []


def test_the_encoder_of_the_contract_is_loaded(tmp_path: Path) -> None:
    model = make_tasb_like(tmp_path / "model", layers=1, dim=32, heads=2, hidden=64)
    ingest([Passage("1", "one"), Passage("2", "two")], collection="c", path=tmp_path, model=model)
    with Searcher("c", path=tmp_path) as searcher:
        assert searcher.encoder.contract.model == str(model)
        assert searcher.search("one", limit=1)[0].id == "1"


def test_a_model_that_was_moved_is_named_anew_and_checked(tmp_path: Path) -> None:
    model = make_tasb_like(tmp_path / "model", layers=1, dim=32, heads=2, hidden=64)
    other = make_tasb_like(tmp_path / "other", layers=1, dim=32, heads=2, hidden=64, seed=1)
    ingest([Passage("1", "one")], collection="c", path=tmp_path, model=model)
    moved = model.rename(tmp_path / "moved")
    with Searcher("c", path=tmp_path, model=moved) as searcher:
        assert searcher.search("one")[0].id == "1"
    with pytest.raises(ContractMismatchError, match="model: the collection has"):
        Searcher("c", path=tmp_path, model=other)
    with Searcher("c", path=tmp_path, model=moved) as searcher:  # the refusal left nothing open
        assert searcher.search("one")[0].id == "1"


def test_a_collection_that_is_not_there_or_not_ours_is_refused(
    tmp_path: Path, encoder: Encoder, qdrant_1_17: QdrantServer, collection_name: str
) -> None:
    with pytest.raises(CollectionNotFoundError, match="collections there: none"):
        Searcher("nothing", path=tmp_path, encoder=encoder)
    with closing(QdrantClient(url=qdrant_1_17.url, check_compatibility=False)) as client:
        client.create_collection(
            collection_name, vectors_config=models.VectorParams(size=384, distance=models.Distance.DOT)
        )
    with pytest.raises(NotOurCollectionError, match="no model contract"):
        Searcher(collection_name, url=qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port, encoder=encoder)


def test_any_qdrant_client_reads_filters_and_searches_what_ingest_wrote(
    encoder: Encoder, qdrant_server: QdrantServer, collection_name: str
) -> None:
    ingest(
        EXAMPLES / "passages.jsonl",
        collection=collection_name,
        url=qdrant_server.url,
        grpc_port=qdrant_server.grpc_port,
        encoder=encoder,
        settings=SETTINGS,
    )
    with closing(QdrantClient(url=qdrant_server.url, check_compatibility=False)) as client:
        assert client.count(collection_name).count == 200
        condition = models.Filter(must=[models.FieldCondition(key="lang", match=models.MatchValue(value="en"))])
        answer = client.query_points(
            collection_name, query=encoder.encode_queries([BEES])[0].tolist(), query_filter=condition, limit=3
        )
        assert answer.points[0].payload is not None
        assert answer.points[0].payload["passage_id"] == "bees-waggle-dance"
        assert set(answer.points[0].payload) == {"passage_id", "text", "title", "topic", "year", "lang", "tags"}
        described = client.get_collection(collection_name)
        assert described.config.metadata is not None
        assert described.config.metadata["tasb_qdrant"]["contract"]["distance"] == "Dot"
        assert described.indexed_vectors_count == 400  # those of the encoder, and those of words
        assert described.config.optimizer_config.indexing_threshold == 10_000
