"""A searcher that stays open while its collection's name comes to stand for another one: an alias that is switched, a
collection that is made anew; and while fields and limits come."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from tasb_qdrant import AsyncSearcher, CollectionSettings, Passage, Searcher, ingest
from tasb_qdrant.collection.reads import state as collection_state
from tasb_qdrant.errors import (
    CollectionChangedError,
    CollectionNotFoundError,
    NotOurCollectionError,
    RequestRefusedError,
)
from tasb_qdrant.settings import Bm25Settings
from tasb_qdrant.steps import Requests
from tests.collection.conftest import server_settings
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

TEXT: Final = "passage 7"
COUNT: Final = 20
ENGLISH: Final = Bm25Settings()

CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "search": lambda s: s.search(TEXT),
    "search_batch": lambda s: s.search_batch([TEXT, "passage 8"]),
    "bm25": lambda s: s.search(TEXT, mode="bm25"),
    "best_per": lambda s: s.search(TEXT, best_per="n"),
    "groups": lambda s: s.search_groups(TEXT, by="n"),
    "more_like_this": lambda s: s.more_like_this("p7"),
    "rerank": lambda s: s.rerank(TEXT, ["p7", "p8"]),
    "get": lambda s: s.get(["p7"]),
    "count": lambda s: s.count(),
    "facet": lambda s: s.facet("n"),
    "info": lambda s: s.info(),
    "delete": lambda s: s.delete(["p7"]),
    "delete_where": lambda s: s.delete_where("n = 7"),
    "patch": lambda s: s.patch(["p7"], {"seen": True}),
    "patch_where": lambda s: s.patch_where("n = 7", {"seen": True}),
    "replace": lambda s: s.replace([Passage("p7", "another text")]),
}
WALKS: Final[dict[str, Callable[[Any], Any]]] = {
    "search_pages": lambda s: s.search_pages(TEXT),
    "scroll": lambda s: s.scroll(),
}


class Mirrored(StubEncoder):
    """Another model: vectors of the same size that say nothing to those of the first."""

    def encode_tokens(self, tokens: Any, *, on_progress: Any = None) -> NDArray[np.float32]:
        return np.ascontiguousarray(super().encode_tokens(tokens, on_progress=on_progress)[:, ::-1])


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's word is taken for no time at all."""
    monkeypatch.setattr(collection_state, "STATE_AGE", 0.0)


def stored_in(client: QdrantClient, name: str) -> list[models.Record]:
    return client.scroll(name, limit=10 * COUNT, with_vectors=True)[0]


class Names:
    """A server's collections `blue`, `twin` (made alike) and `green` (of another model), and an alias."""

    def __init__(self, server: QdrantServer, folder: Path) -> None:
        self.client = QdrantClient(server.url, check_compatibility=False)
        self.options: dict[str, Any] = {"url": server.url, "grpc_port": server.grpc_port}
        self.folder = folder
        self.alias, self.blue, self.twin, self.green = (fresh_name() for _ in range(4))
        self.load(self.blue, StubEncoder(), "blue")
        self.load(self.twin, StubEncoder(), "a rather longer twin")
        self.load(self.green, Mirrored(weights="7" * 64), "green")
        self.switch(self.blue)

    def load(
        self, name: str, encoder: StubEncoder, word: Any, *, words: Bm25Settings = ENGLISH, bm25: bool = True
    ) -> None:
        passages = [Passage(f"p{n}", f"passage {n}", payload={"n": n, "of": word}) for n in range(COUNT)]
        settings = CollectionSettings(indexes={"n": "integer"}, bm25=words)
        state = self.folder / fresh_name()
        settings = settings if bm25 else settings.model_copy(update={"bm25": None})
        ingest(passages, collection=name, encoder=encoder, settings=settings, state=state, **self.options)

    def switch(self, target: str) -> None:
        make = models.CreateAlias(alias_name=self.alias, collection_name=target)
        self.client.update_collection_aliases([models.CreateAliasOperation(create_alias=make)])

    def close(self) -> None:
        for name in (self.blue, self.twin, self.green):
            self.client.delete_collection(name)
        self.client.close()


@pytest.fixture(scope="module")
def shared(qdrant_1_17: QdrantServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    with closing(Names(qdrant_1_17, tmp_path_factory.mktemp("state"))) as names:
        yield names


@pytest.fixture
def names(shared: Names) -> Names:
    shared.switch(shared.blue)
    return shared


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_an_alias_that_was_switched_to_another_model_is_refused_by_every_call(
    names: Names, recent: None, transport: Any
) -> None:
    with Searcher(names.alias, encoder=StubEncoder(), transport=transport, cache_size=9, **names.options) as searcher:
        before = searcher.search(TEXT)
        names.switch(names.green)
        for call in CALLS.values():
            with pytest.raises(
                CollectionChangedError, match=rf"called '{names.alias}' .*model was stub.*open it again"
            ):
                call(searcher)
        for walk in WALKS.values():
            with pytest.raises(CollectionChangedError):
                list(walk(searcher))
        names.switch(names.blue)
        assert searcher.search(TEXT) == before
    assert names.client.count(names.green).count == COUNT


def test_awaited_calls_refuse_it_too(names: Names, recent: None) -> None:
    async def ask() -> None:
        async with AsyncSearcher(names.alias, encoder=StubEncoder(), **names.options) as searcher:
            await searcher.search(TEXT)
            names.switch(names.green)
            for call in CALLS.values():
                with pytest.raises(CollectionChangedError):
                    await call(searcher)
            for walk in WALKS.values():
                with pytest.raises(CollectionChangedError):
                    async for _ in walk(searcher):
                        pass

    asyncio.run(ask())


def test_one_that_was_made_alike_is_followed_without_a_word(names: Names, recent: None) -> None:
    with Searcher(names.alias, encoder=StubEncoder(), cache_size=9, **names.options) as searcher:
        assert {hit.payload["of"] for hit in searcher.search(TEXT)} == {"blue"}
        words = searcher.search(TEXT, mode="bm25", limit=COUNT)
        names.switch(names.twin)
        found = searcher.search(TEXT)
        assert not found.cached
        assert {hit.payload["of"] for hit in found} == {"a rather longer twin"}
        assert {hit.id for hit in searcher.search(TEXT, mode="bm25", limit=COUNT)} == {hit.id for hit in words}
        assert searcher.collection.bm25 == searcher.info().bm25
        assert searcher.count() == COUNT


def test_one_that_has_no_bm25_tells_of_itself_as_it_is(names: Names) -> None:
    name = fresh_name()
    names.load(name, StubEncoder(), "plain", bm25=False)
    with Searcher(names.alias, encoder=StubEncoder(), **names.options) as searcher:
        names.switch(name)
        info = searcher.info()
        assert (info.bm25, info.points, info.indexed, info.alias_of) == (None, COUNT, 0, name)
    names.client.delete_collection(name)


LEXICAL: Final[dict[str, Callable[[Searcher], list[Any]]]] = {
    "groups": lambda s: s.search_groups(TEXT, by="n", mode="bm25", limit=COUNT),
    "pages": lambda s: [hit for page in s.search_pages(TEXT, mode="bm25", page_size=COUNT) for hit in page],
}


@pytest.fixture
def other(names: Names) -> Iterator[Callable[..., str]]:
    """Makes collections that live for a test."""
    made: list[str] = []

    def make(word: Any, **options: Any) -> str:
        made.append(fresh_name())
        names.load(made[-1], StubEncoder(), word, **options)
        return made[-1]

    yield make
    for name in made:
        names.client.delete_collection(name)


def test_words_are_those_of_the_collection_that_is_followed(
    names: Names, other: Callable[..., str], recent: None
) -> None:
    plain = other("plain", words=Bm25Settings(language="none"))  # it has "passage", and the others its stem
    with Searcher(names.alias, encoder=StubEncoder(), **names.options) as searcher:
        for name, call in LEXICAL.items():
            for target in (names.blue, plain):
                names.switch(target)
                assert len(call(searcher)) == COUNT, name


def test_fields_are_judged_by_the_collection_that_is_followed(
    names: Names, other: Callable[..., str], recent: None
) -> None:
    numbers = other(1.5)
    with (
        warnings.catch_warnings(),
        Searcher(names.alias, encoder=StubEncoder(), **names.options) as searcher,
    ):
        warnings.simplefilter("ignore")
        for _ in range(2):
            names.switch(names.blue)
            assert [group.value for group in searcher.search_groups(TEXT, by="of")] == ["blue"]
            assert searcher.search(TEXT, where='of = "blue"').warnings == ()
            names.switch(numbers)
            with pytest.raises(RequestRefusedError, match="of holds numbers with fractions"):
                searcher.search_groups(TEXT, by="of")
            assert searcher.search(TEXT, where='of = "blue"').warnings != ()


def test_a_collection_that_is_made_anew_is_judged_likewise(names: Names, recent: None) -> None:
    name = fresh_name()
    names.load(name, StubEncoder(), "first")
    with Searcher(name, encoder=StubEncoder(), **names.options) as searcher:
        searcher.search(TEXT)
        names.client.delete_collection(name)
        with pytest.raises(CollectionNotFoundError):
            searcher.search(TEXT)
        names.load(name, StubEncoder(), "second")
        assert {hit.payload["of"] for hit in searcher.search(TEXT)} == {"second"}
        names.client.delete_collection(name)
        names.load(name, Mirrored(weights="7" * 64), "third")
        with pytest.raises(CollectionChangedError):
            searcher.search(TEXT)
        names.client.delete_collection(name)
        names.client.create_collection(name, models.VectorParams(size=8, distance=models.Distance.DOT))
        with pytest.raises(NotOurCollectionError):
            searcher.search(TEXT)
        names.client.delete_collection(name)


def test_without_waiting_a_word_of_the_server_is_taken_for_some_seconds(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Searcher(names.alias, encoder=StubEncoder(), **names.options) as searcher:
        reads = searcher.collection.reads.steps.state
        sent: list[str] = []
        carry = searcher._carry

        def counting(step: Any, deadline: Any) -> Any:
            if isinstance(step, Requests):
                sent.extend(request.doing for request in step.requests)
            return carry(step, deadline)

        monkeypatch.setattr(searcher, "_carry", counting)
        for _ in range(5):
            searcher.search(TEXT)
        assert sent == ["searching"] * 5
        reads._until = float("-inf")
        searcher.search(TEXT)
        assert sent[5:] == ["reading the collection's state", "searching"]


@pytest.mark.parametrize("edit", ["delete", "delete_where", "patch", "patch_where", "replace"])
def test_an_edit_never_goes_into_another_collection_however_soon(names: Names, edit: str) -> None:
    with Searcher(names.alias, encoder=StubEncoder(), **names.options) as searcher:
        searcher.search(TEXT)
        before = stored_in(names.client, names.green)
        names.switch(names.green)
        with pytest.raises(CollectionChangedError):
            CALLS[edit](searcher)
    assert stored_in(names.client, names.green) == before


@pytest.mark.parametrize("kind", ["embedded", "server"])
def test_a_field_is_no_longer_said_to_be_missing_once_a_passage_has_it(
    kind: str, qdrant_1_17: QdrantServer, recent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasb_qdrant.search.where.STATE_AGE", 1e-9)
    settings = server_settings(qdrant_1_17)
    where: dict[str, Any] = (
        {"path": tmp_path / "store"} if kind == "embedded" else {"url": settings.url, "grpc_port": settings.grpc_port}
    )
    name = fresh_name()
    passages = [Passage(f"p{n}", f"passage {n}", payload={"n": n}) for n in range(300)]  # more than a sample
    ingest(passages, collection=name, encoder=StubEncoder(), state=tmp_path / "state", **where)
    with warnings.catch_warnings(), Searcher(name, encoder=StubEncoder(), **where) as searcher:
        warnings.simplefilter("ignore")
        assert 'no field "late"' in searcher.search(TEXT, where="late = true").warnings[0]
        last = max((f"p{n}" for n in range(300)), key=lambda one: str(searcher.collection.point_id(one)))
        searcher.patch([last], {"late": True})
        found = searcher.search(TEXT, where="late = true")
        assert ([hit.id for hit in found], found.warnings) == ([last], ())
        assert "booleans" in str(searcher.search(TEXT, where="late = 3").warnings) or searcher.count("late = 3") == 0
    if kind == "server":
        with closing(QdrantClient(qdrant_1_17.url, check_compatibility=False)) as client:
            client.delete_collection(name)
