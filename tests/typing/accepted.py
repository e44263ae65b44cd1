"""Typed filters that both type checkers pass, and that run."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Any, assert_type

from tasb_qdrant import AsyncSearcher, Hit, Searcher
from tasb_qdrant.collection.protocol import Store
from tasb_qdrant.filters import F, Filter, GeoPoint, any_of, at_least, field, fields, validate_payload
from tasb_qdrant.filters.typed import Field
from tasb_qdrant.search import Hits
from tasb_qdrant.search.options import SearchOptions
from tests.typing.models import Article, Author, Colour, search

article = fields(Article)

search(article.year >= 2020)
search((article.year >= 2020) & (article.lang == "en"))
search((article.year >= 2020) | (article.draft == True))  # noqa: E712  # that is how a filter is written
search((article.year >= 2020) & field(article.tags).in_(["solar"]))
search(field(article.tags).in_(["solar"]) & (article.year >= 2020))
search(~(field(article.year) >= 2020) & (F("anything") == 1))
search(article.score > 1)
search(article.editor.name == "Ada")
search(article.authors[0].name != "Ada")

assert_type(field(article.year), Field[int])
assert_type(field(article.subtitle), Field[str])
assert_type(field(article.published), Field[datetime])
assert_type(field(article.tags), Field[str])
assert_type(field(article.years), Field[int])
assert_type(field(article.place), Field[GeoPoint])
assert_type(field(article.authors), Field[Author])
assert_type(field(article.author).inside.name, str)

where: Filter = field(article.subtitle) == "x"
search(field(article.subtitle) != "x")
search(field(article.published) >= datetime(2020, 1, 31, tzinfo=UTC))
search(field(article.day).between(date(2020, 1, 1), date(2020, 12, 31)))
search(field(article.score).between(1, 2.5))
search(field(article.ref) == uuid.UUID(int=1))
search(field(article.colour) == Colour.BLUE)
search(field(article.lang).not_in(["de"]))
search(field(article.title).contains("solar panel"))
search(field(article.place).within(km=5, of=(52.5, 13.4)))
search(field(article.place).in_box(top_left=(53, 13), bottom_right=(52, 14)))
search(field(article.years) > 2019)
search(field(article.authors).inside.name == "Ada")
search(field(field(article.authors).inside.age) > 30)
search(field(article.authors).any(lambda author: author.name == "Ada", lambda author: field(author.age) > 30))
search(field(article.authors).any(lambda author: (author.name == "Ada") & (field(author.age) > 30)))
search(at_least(2, article.year >= 2020, field(article.tags) == "solar", F("x") == 1))
search(any_of([article.year >= 2020, field(article.tags).count() >= 2]))
search(field(article.title).contains_phrase("solar panel") & ~field(article.title).contains_any("wind water"))
search(field(article.place).in_polygon([(52, 13), (53, 13), (53, 14)]))
search(field(article.author).exists() & ~field(article.tags).is_empty() & ~field(article.day).is_null())

assert_type(validate_payload(Article, {"year": 2020}, passage_id="a").year, int)


def hits_have_payloads_of_the_model(searcher: Searcher[Article]) -> None:
    """For the checkers alone: nothing is opened."""
    assert_type(Searcher("c", payload=Article), Searcher[Article])
    assert_type(searcher.search("q")[0], Hit[Article])
    assert_type(searcher.search("q", where=article.year >= 2020)[0].payload.year, int)
    assert_type(searcher.search_batch(["q"], where=field(article.lang) == "en")[0][0].payload.title, str)
    assert_type(searcher.search_groups("q", by="lang")[0].hits[0].payload, Article)
    assert_type(searcher.get(["a"])["a"].payload.tags, list[str])
    assert_type(next(searcher.scroll("year > 2000")).payload.authors, list[Author])
    assert_type(searcher.rerank("q", ["a"])[0].payload.year, int)
    assert_type(Searcher("c").search("q")[0].payload["year"], Any)


def options_are_those_of_the_dictionaries(searcher: Searcher[Article], store: Store) -> None:
    """The same."""
    options: SearchOptions = {"limit": 5, "where": "year > 2000", "mode": "hybrid", "weights": (1.0, 2.0)}
    assert_type(searcher.search("q", **options), Hits[Article])
    assert_type(searcher.search_batch(["q"], with_payload=["year"], oversampling=2), list[Hits[Article]])
    assert_type(searcher.more_like_this("a", limit=3, with_text=False), Hits[Article])
    assert_type(searcher.recommend(["a"], ["b"], strategy="best_score", offset=2), Hits[Article])
    assert_type(searcher.count("year > 2000", exact=False), int)
    assert_type(Searcher("c", store=store, cache_size=10), Searcher[dict[str, Any]])
    assert_type(Searcher("c", store=store, payload=Article, on_invalid="keep"), Searcher[Article])
    assert_type(AsyncSearcher("c", url="http://localhost:6333", max_wait=0.0), AsyncSearcher[dict[str, Any]])


async def awaited_hits_too(searcher: AsyncSearcher[Article]) -> None:
    """The same."""
    assert_type(AsyncSearcher("c", payload=Article), AsyncSearcher[Article])
    assert_type((await searcher.search("q"))[0].payload.year, int)
    async for hit in searcher.scroll(article.year >= 2020):
        assert_type(hit.payload, Article)
