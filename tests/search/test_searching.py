"""What a search can be asked for, over every store: the same answers everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasb_qdrant import Encoder, F, Hit, Passage, Searcher
from tasb_qdrant.encoder import CrossEncoder, load_cross_encoder
from tasb_qdrant.errors import (
    FilterError,
    PassageNotFoundError,
    SearchTimeoutError,
    SettingsError,
    TasbQdrantError,
)
from tests.models import make_cross_encoder
from tests.ranking import Ranking, difference
from tests.search.conftest import BATCH_CHANGES, BEES, COLLECTION, Home, counted, scored


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return load_cross_encoder(make_cross_encoder(tmp_path_factory.mktemp("cross-encoder")), precision="fp32")


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_pages_are_the_list_cut_in_pieces_and_end(searcher: Searcher) -> None:
    whole = searcher.search(BEES, limit=200, exact=True)
    pages = list(searcher.search_pages(BEES, page_size=64, exact=True))
    assert [len(page) for page in pages] == [64, 64, 64, 8]
    assert [hit for page in pages for hit in page] == whole


def test_pages_with_a_filter_hold_what_matches(searcher: Searcher) -> None:
    pages = list(searcher.search_pages(BEES, page_size=10, where=F("lang") == "de"))
    found = [hit.id for page in pages for hit in page]
    assert len(found) == len(set(found)) == searcher.count(F("lang") == "de")


def test_groups_have_the_best_hits_of_each_value(searcher: Searcher) -> None:
    expected: dict[str, list[str]] = {}
    for hit in searcher.search(BEES, limit=200, exact=True):
        expected.setdefault(hit.payload["topic"], []).append(hit.id)
    groups = searcher.search_groups(BEES, by="topic", group_size=2, limit=5, exact=True)
    assert [(group.value, ids(group.hits)) for group in groups] == [
        (topic, found[:2]) for topic, found in list(expected.items())[:5]
    ]


def test_diversity_prefers_hits_unlike_each_other(searcher: Searcher) -> None:
    plain = searcher.search(BEES, limit=10, exact=True)
    assert ids(searcher.search(BEES, limit=10, exact=True, diversity=0.0)) == ids(plain)
    diverse = searcher.search(BEES, limit=10, exact=True, diversity=0.9, with_vectors=True)
    assert diverse[0].id == plain[0].id
    assert _likeness(diverse) < _likeness(searcher.search(BEES, limit=10, exact=True, with_vectors=True))


def _likeness(hits: list[Hit]) -> float:
    """Mean dot product of the hits with each other."""
    vectors = np.array([hit.vector for hit in hits])
    return float((vectors @ vectors.T)[~np.eye(len(hits), dtype=bool)].mean())


def test_more_like_a_passage_is_without_it_and_as_its_vector_says(searcher: Searcher) -> None:
    hits = searcher.more_like_this("bees-waggle-dance", limit=5, exact=True)
    assert "bees-waggle-dance" not in ids(hits)
    found = searcher.get(["bees-waggle-dance"])["bees-waggle-dance"]
    again = Passage("another", found.text, title=found.title)
    assert ids(searcher.more_like_this(again, limit=6, exact=True)) == ["bees-waggle-dance", *ids(hits)]


@pytest.mark.parametrize("strategy", ["average_vector", "best_score", "sum_scores"])
def test_negative_examples_push_hits_away(searcher: Searcher, strategy: Any) -> None:
    examples = ids(searcher.search("stars and planets", limit=2, exact=True))
    liked = searcher.recommend(examples, strategy=strategy, limit=10, exact=True)
    assert not set(examples) & set(ids(liked))
    away = liked[0].id
    unlike = searcher.recommend(examples, [away], strategy=strategy, limit=10, exact=True)
    assert away not in ids(unlike)


def test_passages_that_are_not_there_are_named(searcher: Searcher) -> None:
    calls: list[Callable[[], object]] = [
        lambda: searcher.more_like_this("nowhere"),
        lambda: searcher.recommend(["bees-waggle-dance"], ["nowhere"]),
        lambda: searcher.rerank(BEES, ["bees-waggle-dance", "nowhere"]),
    ]
    for call in calls:
        with pytest.raises(PassageNotFoundError, match="'nowhere'") as caught:
            call()
        assert caught.value.ids == ("nowhere",)


def test_facets_count_values(searcher: Searcher, corpus: list[dict[str, Any]]) -> None:
    expected = sorted(counted(corpus, "topic").items(), key=lambda pair: (-pair[1], pair[0]))
    found = searcher.facet("topic", limit=100)
    assert [(one.value, one.count) for one in found] == expected
    german = Counter(record["topic"] for record in corpus if record["lang"] == "de")
    assert {one.value: one.count for one in searcher.facet("topic", where=F("lang") == "de", limit=100)} == german
    assert len(searcher.facet("topic", limit=2)) == 2


def test_a_count_is_exact_or_near(searcher: Searcher, corpus: list[dict[str, Any]]) -> None:
    expected = sum(record["year"] >= 2000 for record in corpus)
    assert searcher.count(F("year") >= 2000) == searcher.count("year >= 2000") == expected
    assert searcher.count() == 200
    assert 0 < searcher.count(exact=False) <= 400


def test_every_passage_comes_once_in_a_scroll(searcher: Searcher, corpus: list[dict[str, Any]]) -> None:
    found = ids(list(searcher.scroll(page_size=33)))
    assert len(found) == 200
    assert set(found) == {record["_id"] for record in corpus}
    german = ids(list(searcher.scroll(F("lang") == "de", page_size=7)))
    assert sorted(german) == sorted(record["_id"] for record in corpus if record["lang"] == "de")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("where", [None, 'lang in ["en", "de"]'])
def test_a_scroll_in_an_order_goes_on_where_values_are_equal(
    searcher: Searcher, corpus: list[dict[str, Any]], descending: bool, where: str | None
) -> None:
    chosen = [record for record in corpus if where is None or record["lang"] in ("en", "de")]
    found = list(searcher.scroll(where, order_by="year", descending=descending, page_size=9))
    years = [hit.payload["year"] for hit in found]
    assert years == sorted((record["year"] for record in chosen), reverse=descending)
    assert sorted(ids(found)) == sorted(record["_id"] for record in chosen)


def test_passages_are_got_by_their_ids(searcher: Searcher, corpus: list[dict[str, Any]]) -> None:
    wanted = ["apollo-11-landing", "nowhere", "bees-waggle-dance"]
    found = searcher.get(wanted, with_vectors=True)
    assert list(found) == ["apollo-11-landing", "bees-waggle-dance"]
    hit = found["apollo-11-landing"]
    assert (hit.id, hit.score, hit.payload["year"]) == ("apollo-11-landing", 0.0, 1969)
    assert hit.vector is not None
    assert hit.vector.shape == (searcher.encoder.contract.dim,)
    assert searcher.get([]) == {}


def test_the_payload_comes_in_part_or_not_at_all(searcher: Searcher) -> None:
    whole = searcher.search(BEES, limit=3, exact=True)
    some = searcher.search(BEES, limit=3, exact=True, with_payload=["year", "lang"])
    none = searcher.search(BEES, limit=3, exact=True, with_payload=False)
    bare = searcher.search(BEES, limit=3, exact=True, with_payload=False, with_text=False)
    assert ids(whole) == ids(some) == ids(none) == ids(bare)
    assert [set(hit.payload) for hit in some] == [{"year", "lang"}] * 3
    assert [hit.text for hit in none] == [hit.text for hit in whole]
    assert (none[0].text, none[0].title, none[0].payload) == (whole[0].text, whole[0].title, {})
    assert [(hit.text, hit.title, hit.payload) for hit in bare] == [("", None, {})] * 3


def test_a_hits_score_is_the_dot_product_with_its_vector(searcher: Searcher, encoder: Encoder) -> None:
    query = encoder.encode_queries([BEES])[0]
    for hit in searcher.search(BEES, limit=5, with_vectors=True):
        assert hit.vector is not None
        assert hit.vector.dtype == np.float32
        assert hit.score == pytest.approx(float(query @ hit.vector), abs=1e-5)


def test_words_find_what_has_them(searcher: Searcher) -> None:
    hits = searcher.search("telescope", mode="bm25", limit=50)
    assert hits
    assert all("telescope" in f"{hit.title} {hit.text}".lower() for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert searcher.search("xyzzyq", mode="bm25") == []


def test_a_hybrid_search_has_hits_of_both_lists(searcher: Searcher) -> None:
    query = "telescope mirrors"
    dense = ids(searcher.search(query, limit=5, exact=True))
    words = ids(searcher.search(query, limit=5, mode="bm25"))
    fusion: Any
    for fusion in ("rrf", "dbsf"):
        joined = ids(searcher.search(query, limit=20, mode="hybrid", fusion=fusion, exact=True))
        assert set(joined) >= {dense[0], words[0]}
    assert ids(searcher.search(query, limit=5, mode="hybrid", weights=(1, 0), exact=True)) == dense
    alone = searcher.search(query, limit=5, mode="hybrid", weights=(0, 1), exact=True)
    assert [hit.id for hit in alone if hit.id in words] == words


def test_a_batch_gives_what_single_searches_give_in_every_mode(searcher: Searcher) -> None:
    queries = [BEES, "early telescopes", "how to bake bread"]
    for mode in ("dense", "bm25", "hybrid"):
        options: dict[str, Any] = {"mode": mode, "limit": 5, "exact": True}
        for query, together in zip(queries, searcher.search_batch(queries, **options), strict=True):
            alone = searcher.search(query, **options)
            assert not difference(scored(together), scored(alone), tolerance=BATCH_CHANGES)


def test_candidates_are_ranked_by_dot_product_wherever_they_come_from(searcher: Searcher) -> None:
    best = searcher.search(BEES, limit=20, exact=True)
    shuffled = [hit.id for hit in best[::-1]]
    reranked = searcher.rerank(BEES, shuffled)
    assert not difference(scored(reranked), scored(best), tolerance=1e-5)
    assert ids(searcher.rerank(BEES, best[::-1], limit=3)) == ids(reranked)[:3]
    passages = [Passage(hit.id, hit.text, title=hit.title, payload=hit.payload) for hit in best]
    of_passages = searcher.rerank(BEES, passages[::-1])
    assert not difference(scored(of_passages), scored(best), tolerance=BATCH_CHANGES)
    assert of_passages[0].payload == next(hit.payload for hit in best if hit.id == of_passages[0].id)
    mixed: list[Any] = [passages[3], best[1], best[0].id, best[0]]
    expected = [best[0], best[1], best[3]]
    assert not difference(scored(searcher.rerank(BEES, mixed)), scored(expected), tolerance=BATCH_CHANGES)
    assert searcher.rerank(BEES, []) == []


def test_a_cross_encoder_has_the_last_word_on_the_best(searcher: Searcher, cross_encoder: CrossEncoder) -> None:
    best = searcher.search(BEES, limit=6, exact=True)
    scores = cross_encoder.score(BEES, [f"{hit.title} {hit.text}" for hit in best[:4]])
    ranking = Ranking(dict(zip(ids(best), scores.tolist(), strict=False)), slack=1e-5)
    reranked = searcher.rerank(BEES, best, cross_encoder=cross_encoder, cross_depth=4)
    assert not ranking.mistake(ids(reranked), limit=4)
    assert [hit.score for hit in reranked] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-4)
    assert ids(searcher.rerank(BEES, best, cross_encoder=cross_encoder, cross_depth=4, limit=2)) == ids(reranked)[:2]


def test_the_query_cache_says_when_it_answers(home: Home, searcher: Searcher) -> None:
    assert not searcher.search(BEES).cached
    assert not searcher.search(BEES).cached, "off by default"
    with Searcher(COLLECTION, **home.elsewhere(), cache_size=10) as caching:
        first = caching.search(BEES, limit=3, where=F("year") >= 2000)
        again = caching.search(BEES, limit=3, where="year >= 2000")
        assert (first.cached, again.cached) == (False, True)
        assert again == first
        again[0].payload["tags"].append("mine")
        assert caching.search(BEES, limit=3, where="year >= 2000") == first
        for other in ({"limit": 4}, {"where": "year >= 2001"}, {"mode": "bm25"}, {"with_vectors": True}):
            options: dict[str, Any] = {"limit": 3, "where": "year >= 2000", **other}
            assert not caching.search(BEES, **options).cached
        batch = caching.search_batch([BEES, "tea"], limit=3, where="year >= 2000")
        assert [hits.cached for hits in batch] == [True, False]
        assert caching.cache_info().hits == 3
        caching.clear_cache()
        assert not caching.search(BEES, limit=3, where="year >= 2000").cached


def test_a_deadline_that_can_not_be_met_is_an_error_of_its_own(searcher: Searcher) -> None:
    with pytest.raises(SearchTimeoutError, match="allow more time"):
        searcher.search(BEES, timeout=1e-6)
    assert searcher.search(BEES, timeout=60.0, limit=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "sparse"}, "mode is one of dense, bm25, hybrid; got 'sparse'"),
        ({"fusion": "max"}, "fusion is one of rrf, dbsf; got 'max'"),
        ({"mode": "hybrid", "weights": (1,)}, "weights are two numbers"),
        ({"mode": "hybrid", "weights": (0, 0)}, "weights are two numbers"),
        ({"mode": "hybrid", "weights": (1, -1)}, "weights are two numbers"),
        ({"weights": (1, 1)}, "weights are for mode 'hybrid'"),
        ({"mode": "hybrid", "fusion": "dbsf", "weights": (1, 1)}, "weights are for mode 'hybrid'"),
        ({"diversity": 1.5}, "diversity is a number from 0 to 1, got 1.5"),
        ({"diversity": 0.5, "mode": "bm25"}, "diversity is for mode 'dense'"),
        ({"depth": 0}, "depth must be a whole number"),
        ({"oversampling": 0.5}, "oversampling must be at least 1"),
        ({"with_payload": "year"}, "got the string 'year'"),
        ({"with_payload": [1]}, "names of fields, got 1"),
        ({"with_text": False}, "with_payload=False"),
        ({"timeout": 0}, "timeout must be more than 0 seconds"),
        ({"consistency": "most"}, "consistency is a number of replicas"),
        ({"consistency": 0}, "consistency must be a whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused(searcher: Searcher, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        searcher.search(BEES, **options)


def test_what_is_asked_wrongly_is_named(searcher: Searcher) -> None:
    wrong: list[tuple[Any, type[TasbQdrantError], str]] = [
        (lambda: searcher.get("one"), SettingsError, "got the string 'one'"),
        (lambda: searcher.get([1]), SettingsError, "passage ids are strings, got 1"),  # type: ignore[list-item]
        (lambda: searcher.rerank(BEES, "one"), SettingsError, "got the string 'one'"),
        (lambda: searcher.rerank(BEES, [1]), SettingsError, "of type int"),  # type: ignore[list-item]
        (lambda: searcher.recommend([]), SettingsError, "at least one positive example"),
        (lambda: searcher.recommend([1]), SettingsError, "got int"),  # type: ignore[list-item]
        (lambda: searcher.facet("topic", limit=0), SettingsError, "limit must be"),
        (lambda: searcher.scroll(page_size=0), SettingsError, "page_size must be"),
        (lambda: searcher.scroll(where="year >="), FilterError, "expected"),
        (lambda: searcher.search_pages(BEES, page_size=0), SettingsError, "limit must be"),
    ]
    for call, kind, said in wrong:
        with pytest.raises(kind, match=said):
            call()


def test_a_filter_is_never_answered_with_what_another_found(searcher: Searcher) -> None:
    """They have the same parts: what is remembered of one must not serve the other."""
    both = 'lang = "de" and topic = "bees"'
    either = 'lang = "de" or topic = "bees"'
    assert searcher.count(both) < searcher.count(either)
    assert searcher.count("year exists") > searcher.count("year is null") == 0
