"""Each document once, by its best passage: what a ranking of all passages would give, without those that come later."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant import AsyncSearcher, Encoder, F, Passage, Searcher, ingest
from tasb_qdrant.errors import FilterError, SettingsError
from tasb_qdrant.records import Hit
from tasb_qdrant.search.options import Mode
from tasb_qdrant.search.where import FilterWarning
from tests.ingest.fakes import StubEncoder
from tests.search.conftest import Home

MODES: tuple[Mode, ...] = ("dense", "bm25", "hybrid")
WORDS = ["bee", "owl", "honey", "river", "stone", "light", "moon", "mouse"]


def documents() -> list[Passage]:
    """One of 600 passages, which are the first of any list, and forty of a few."""
    random = np.random.default_rng(3)
    made = [Passage("huge", " ".join(["bee honey"] * 4_800), payload={"year": 1})]
    for n in range(40):
        text = " ".join(random.choice(WORDS, size=10 + 3 * n))
        made.append(Passage(f"d{n}", text, payload={"year": n, "of": n % 5}))
    return made


class Near(StubEncoder):
    """Vectors of how often a text has each word, so that passages of the same words are near to each other."""

    dim = len(WORDS)

    def encode_tokens(self, tokens: Any, *, on_progress: Any = None) -> Any:
        known = {int(self.tokenize_passages([word]).ids[0]): at for at, word in enumerate(WORDS)}
        vectors = np.full((len(tokens), len(WORDS)), 1e-3, dtype=np.float32)
        for row in range(len(tokens)):
            for token in tokens[row].tolist():
                vectors[row, known.get(token, 0)] += 1
        return vectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    report = ingest(documents(), collection="c", path=folder, encoder=Near(), split="tokens:16", bm25=True)
    assert report.documents == 41
    assert report.points > 700
    return folder


@pytest.fixture(scope="module")
def long_texts(folder: Path) -> Iterator[Searcher]:
    with Searcher("c", path=folder, encoder=Near()) as opened:
        yield opened


def document(hit: Hit) -> str:
    return str(hit.payload["doc_id"])


def firsts(hits: list[Hit]) -> list[tuple[str, float]]:
    """The document and the score of each first hit of a document."""
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(document(hit), hit.score)
    return [*best.items()]


def same(found: list[Hit], expected: list[tuple[str, float]]) -> None:
    """In the order of scores; those that are equal may change places."""
    assert [hit.score for hit in found] == pytest.approx([score for _, score in expected], abs=1e-6)
    assert len({document(hit) for hit in found}) == len(found)
    last = expected[-1][1] if expected else 0.0
    above = {one for one, score in expected if score > last + 1e-6}
    assert {document(hit) for hit in found if hit.score > last + 1e-6} == above


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", [None, F("year") >= 20])
def test_it_is_the_ranking_of_all_passages_without_repeats(long_texts: Searcher, mode: Mode, where: Any) -> None:
    every = long_texts.search("bee honey", limit=1000, depth=1000, mode=mode, where=where, exact=True)
    expected = firsts(every)
    for limit in (1, 5, 20, 100):
        found = long_texts.search(
            "bee honey", limit=limit, depth=1000, mode=mode, where=where, exact=True, best_per="doc_id"
        )
        same(found, expected[:limit])


@pytest.mark.parametrize("mode", MODES)
def test_there_are_as_many_documents_as_were_asked_for(long_texts: Searcher, mode: Mode) -> None:
    """The best hundred passages, which hybrid search fuses, are all of one document."""
    plain = long_texts.search("bee honey", limit=100, mode=mode)
    assert mode == "hybrid" or {document(hit) for hit in plain} == {"huge"}
    found = long_texts.search("bee honey", limit=30, mode=mode, best_per="doc_id")
    assert len({document(hit) for hit in found}) == len(found) == 30


def test_diverse_documents_are_as_many_too(long_texts: Searcher) -> None:
    found = long_texts.search("bee honey", limit=10, diversity=0.3, best_per="doc_id")
    assert len({document(hit) for hit in found}) == 10


def test_a_threshold_ends_the_list(long_texts: Searcher) -> None:
    every = firsts(long_texts.search("bee honey", limit=1000, depth=1000, mode="hybrid", exact=True))
    least = every[4][1]
    found = long_texts.search(
        "bee honey", limit=20, depth=1000, mode="hybrid", exact=True, best_per="doc_id", score_threshold=least
    )
    same(found, [one for one in every if one[1] >= least])


@pytest.mark.parametrize("mode", MODES)
def test_pages_and_offsets_go_on_where_the_last_one_ended(long_texts: Searcher, mode: Mode) -> None:
    whole = long_texts.search("owl river", limit=100, mode=mode, best_per="doc_id", exact=True)
    pages = [*long_texts.search_pages("owl river", page_size=7, mode=mode, best_per="doc_id", exact=True)]
    found = [document(hit) for page in pages for hit in page]
    assert len(set(found)) == len(found)
    assert set(found) == {document(hit) for hit in whole}
    part = long_texts.search("owl river", limit=7, offset=7, mode=mode, best_per="doc_id", exact=True)
    same(part, [(document(hit), hit.score) for hit in whole[7:14]])


def test_a_batch_is_its_queries_one_by_one(long_texts: Searcher) -> None:
    queries = [f"{one} {other}" for one in WORDS for other in WORDS]
    options: dict[str, Any] = {"limit": 5, "mode": "hybrid", "best_per": "doc_id", "exact": True}
    batch = long_texts.search_batch(queries, **options)
    for query, hits in zip(queries, batch, strict=True):
        same(hits, [(document(hit), hit.score) for hit in long_texts.search(query, **options)])


def test_only_what_was_asked_for_is_in_the_payload(long_texts: Searcher) -> None:
    [hit] = long_texts.search("bee", limit=1, best_per="doc_id", with_payload=["year"], with_text=False)
    assert set(hit.payload) == {"year"}
    [hit] = long_texts.search("bee", limit=1, best_per="doc_id", with_vectors=True)
    assert hit.vector is not None


def test_any_field_of_strings_or_numbers_will_do(long_texts: Searcher) -> None:
    found = long_texts.search("bee honey", best_per="of")
    assert sorted(hit.payload["of"] for hit in found) == [0, 1, 2, 3, 4]
    assert len(long_texts.search("bee honey", best_per="passage_id", limit=50)) == 50


def test_a_field_that_is_not_there_is_warned_of(long_texts: Searcher) -> None:
    with pytest.warns(FilterWarning, match='no field "doc" in this collection; closest: doc_id'):
        assert long_texts.search("bee", best_per="doc") == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long_texts.search("bee", best_per="doc_id")


@pytest.mark.parametrize("field", ["", 3, ["doc_id"]])
def test_what_is_no_name_is_refused(long_texts: Searcher, field: Any) -> None:
    with pytest.raises(SettingsError, match="best_per is the name of a payload field"):
        long_texts.search("bee", best_per=field)
    with pytest.raises(FilterError):
        long_texts.search("bee", best_per="a[")
    with pytest.raises(TypeError, match="best_per"):
        long_texts.search_groups("bee", by="of", best_per="doc_id")  # type: ignore[call-arg]  # not one of its options


def test_answers_are_kept_apart_from_those_of_passages(folder: Path, long_texts: Searcher) -> None:
    long_texts.close()
    with Searcher("c", path=folder, encoder=Near(), cache_size=10) as searcher:
        passages = searcher.search("bee honey")
        found = [searcher.search("bee honey", best_per="doc_id") for _ in range(2)]
        assert [hits.cached for hits in found] == [False, True]
        assert found[0] == found[1] != passages


def test_awaited_it_is_the_same(folder: Path) -> None:
    async def ask() -> tuple[list[Hit], list[list[Hit]], list[str]]:
        async with AsyncSearcher("c", path=folder, encoder=Near()) as searcher:
            one = await searcher.search("bee honey", best_per="doc_id", exact=True)
            batch = await searcher.search_batch(["bee honey", "owl"], best_per="doc_id", mode="hybrid", limit=30)
            pages = [document(hit) async for page in searcher.search_pages("owl", best_per="doc_id") for hit in page]
            return one, [list(hits) for hits in batch], pages

    one, batch, pages = asyncio.run(ask())
    with Searcher("c", path=folder, encoder=Near()) as searcher:
        same(one, [(document(hit), hit.score) for hit in searcher.search("bee honey", best_per="doc_id", exact=True)])
    assert [len(hits) for hits in batch] == [30, 30]
    assert len(set(pages)) == len(pages) == 41


def test_every_store_gives_the_best_of_each(searcher: Searcher, home: Home, encoder: Encoder) -> None:
    for mode in MODES:
        every = searcher.search("honey from flowers", limit=500, depth=500, mode=mode, exact=True)
        best: dict[Any, float] = {}
        for hit in every:
            if "topic" in hit.payload:
                best.setdefault(hit.payload["topic"], hit.score)
        found = searcher.search("honey from flowers", limit=5, depth=500, mode=mode, exact=True, best_per="topic")
        expected = [*best.items()][:5]
        assert [hit.payload["topic"] for hit in found] == [topic for topic, _ in expected]
        assert [hit.score for hit in found] == pytest.approx([score for _, score in expected], abs=1e-5)
