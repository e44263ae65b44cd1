"""Filters by the beginning of a text and by characters in it: exact where they are, refused by name where not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant import F, Passage, Searcher, ingest
from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.server import store as server_store
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import FilterError, FilterTypeError, ServerTooOldError
from tasb_qdrant.filters import Filter, format_filter, parse_filter
from tasb_qdrant.filters.conditions import Prefix
from tasb_qdrant.settings import CollectionSettings, IndexType
from tests.collection.conftest import server_settings
from tests.collection.helpers import CONTRACT, fresh_name
from tests.collection.server.test_optimizers import _claiming
from tests.filters.predicate import matches
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

VALUES: Final[list[Any]] = [
    "a", "abc", "Abc", "ab", "xabc", "ß", "straße", "STRASSE", "é", "e\u0301", "日本語", "a b", 'a"b', "a`b", "", " a",
    ["abc", "zz"], ["x", 5, None], [], None, 5, 2.5, True, {"a": "abc"}, [{"name": "abc"}, {"name": "b"}], "%", "a%c", "_",
]  # fmt: skip
INDEXES: Final[tuple[IndexType | None, ...]] = (None, "keyword", "text", "uuid", "datetime")
PAYLOADS: Final = [{"k": value} if value is not None else {} for value in VALUES]


@pytest.fixture(scope="module", params=INDEXES, ids=str)
def searcher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    path = tmp_path_factory.mktemp("prefix")
    passages = [Passage(str(n), "text", payload=payload) for n, payload in enumerate(PAYLOADS)]
    ingest(passages, collection="c", encoder=StubEncoder(), path=path)
    with Searcher("c", encoder=StubEncoder(), path=path) as opened:
        if request.param is not None:
            opened.collection.ensure_indexes({"k": request.param})
        yield opened


def found(searcher: Searcher, where: Filter) -> set[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {int(hit.id) for hit in searcher.scroll(where)}


parts = st.text('aAbcxzßé日本e\u0301 "`%_', min_size=1, max_size=3) | st.sampled_from(
    [value for value in VALUES if isinstance(value, str) and value]
)
paths = st.sampled_from(["k", "k[].name", "k.a"])
conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda field, text: F(field).prefix(text), paths, parts),
    st.builds(lambda field, text: F(field).substring(text), paths, parts),
    st.builds(lambda text: F("k").any(F("name").prefix(text)), parts),
)


@given(where=conditions | conditions.map(lambda one: ~one))
@settings(max_examples=60, deadline=None)
def test_the_engine_finds_what_a_plain_comparison_finds(searcher: Searcher, where: Filter) -> None:
    assert found(searcher, where) == {n for n, payload in enumerate(PAYLOADS) if matches(where, payload)}


@given(where=conditions)
def test_the_text_form_reads_back_as_the_same(where: Filter) -> None:
    assert parse_filter(format_filter(where)) == where


def test_they_are_written_as_text_and_fields_may_have_their_names() -> None:
    assert parse_filter('url prefix "https://a"') == F("url").prefix("https://a")
    assert parse_filter("url SUBSTRING 'wiki'") == F("url").substring("wiki")
    assert parse_filter('prefix prefix "a" and substring = 3') == F("prefix").prefix("a") & (F("substring") == 3)


def test_what_can_match_nothing_or_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match="write k exists"):
        F("k").prefix("")
    with pytest.raises(FilterError, match="take a string, got 3"):
        F("k").substring(3)  # type: ignore[arg-type]
    passages = [Passage("1", "text", payload={"year": 2024, "size": 3})]
    indexes = CollectionSettings(indexes={"year": "integer"})
    ingest(passages, collection="c", encoder=StubEncoder(), path=tmp_path, settings=indexes)
    with Searcher("c", encoder=StubEncoder(), path=tmp_path) as opened:
        with pytest.raises(FilterTypeError, match="it holds no text"):
            opened.count('year prefix "20"')
        with pytest.warns(UserWarning, match="size holds numbers, which a string never matches"):
            assert opened.count('size prefix "3"') == 0
        with pytest.warns(UserWarning, match='no field "sizes"'):
            assert opened.count('sizes substring "3"') == 0


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ((1, 17, 0), {"prefix": "1.19", "substring": "1.20"}),
        ((1, 18, 3), {"prefix": "1.19", "substring": "1.20"}),
        ((1, 19, 0), {"substring": "1.20"}),
        ((1, 20, 0), {}),
    ],
)
@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_servers_that_lack_them_are_named_and_others_are_asked(
    qdrant_1_17: QdrantServer,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    refused: dict[str, str],
    transport: Any,
) -> None:
    monkeypatch.setattr(server_store, "connect", _claiming(version))
    store = ServerStore(server_settings(qdrant_1_17, transport, retry_seconds=0))
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    for where in (F("k").prefix("a"), (F("n") > 3) | ~F("k").substring("a")):
        kind = "prefix" if isinstance(where, Prefix) else "substring"
        if kind in refused:
            with pytest.raises(ServerTooOldError, match=f"k {kind} .*needs Qdrant {refused[kind]} or later") as caught:
                collection.reads.count(where)
            assert ".".join(map(str, version)) in str(caught.value)
        else:  # the real server here doesn't know it, and says so: it was asked
            with pytest.raises(Exception, match=r"refused the request|failed for as long"):
                collection.reads.count(where)
    assert collection.reads.count(F("n") > 3) == 0
    store.delete(name)
    store.close()
