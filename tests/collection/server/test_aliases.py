"""A collection under another name: every request may use it, and a deletion says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tasb_qdrant import Passage, Searcher, ingest, open_collection, verify
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.manage.listing import list_collections
from tests.cli.conftest import Run, run  # noqa: F401  # a fixture
from tests.collection.conftest import server_settings
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

pytestmark = pytest.mark.server

DOCS = [Passage(f"d{n}", f"text {n}", payload={"n": n}) for n in range(20)]


@pytest.fixture(params=["qdrant_1_16", "qdrant_1_17"])
def server(request: pytest.FixtureRequest) -> QdrantServer:
    found: QdrantServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def names(server: QdrantServer) -> Iterator[tuple[str, str]]:
    """A collection, and an alias of it."""
    from qdrant_client import QdrantClient, models

    name, alias = fresh_name(), fresh_name()
    client = QdrantClient(url=server.url, api_key=server.api_key, check_compatibility=False)
    ingest(DOCS, collection=name, encoder=StubEncoder(), **options_of(server))
    create = models.CreateAlias(collection_name=name, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    yield name, alias
    client.delete_collection(name)
    client.close()


def options_of(server: QdrantServer) -> dict[str, Any]:
    return {"url": server.url, "grpc_port": server.grpc_port, "api_key": server.api_key}


def test_a_deletion_names_the_collection_and_deletes_nothing(server: QdrantServer, names: tuple[str, str]) -> None:
    name, alias = names
    store = ServerStore(server_settings(server))
    with pytest.raises(
        RequestRefusedError, match=rf"is an alias of collection '{name}'.*--collection {name}"
    ) as caught:
        store.delete(alias)
    assert "nothing was deleted" in str(caught.value)
    assert store.exists(name)
    assert store.aliases()[alias] == name
    store.delete(name)
    assert not store.exists(alias)
    store.close()


def test_a_deletion_that_the_server_did_not_do_is_no_success(
    server: QdrantServer, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ServerStore(server_settings(server))
    monkeypatch.setattr(ServerStore, "aliases", lambda _: {})  # as for a key that may not list them
    with pytest.raises(RequestRefusedError, match="did not delete collection"):
        store.delete(names[1])
    store.close()


def test_the_list_and_the_description_tell_them(server: QdrantServer, names: tuple[str, str]) -> None:
    name, alias = names
    (listed,) = [one for one in list_collections(server_settings(server)) if one.name == name]
    assert listed.aliases == (alias,)
    with open_collection(alias, **options_of(server)) as collection:
        info = collection.info()
        assert (collection.alias_of, info.alias_of, info.aliases) == (name, name, (alias,))
    with open_collection(name, **options_of(server)) as collection:
        assert (collection.alias_of, collection.info().alias_of, collection.info().aliases) == ("", "", (alias,))


def test_everything_else_works_under_it(server: QdrantServer, names: tuple[str, str]) -> None:
    name, alias = names
    where = options_of(server)
    report = ingest([*DOCS, Passage("new", "text")], collection=alias, encoder=StubEncoder(), **where)
    assert (report.stored, report.skipped) == (1, 20)
    with open_collection(alias, **where) as collection:
        assert collection.add_indexes({"n": "integer"}) == {"n": "integer"}
        assert collection.patch(["d1"], {"n": 100}).changed == 1
        assert collection.delete(["new"]).changed == 1
        collection.optimize()
        assert collection.drop_indexes(["n"]) == {"n": "integer"}
    with Searcher(alias, encoder=StubEncoder(), **where) as searcher:
        assert searcher.replace(Passage("d1", "text 1", payload={"n": 1})).changed == 1
        assert searcher.search("text", limit=1)
    assert verify(DOCS, collection=alias, encoder=StubEncoder(), **where).equal
    with open_collection(name, **where) as collection:
        assert collection.edited


def test_the_command_line_says_the_same(server: QdrantServer, names: tuple[str, str], run: Run) -> None:  # noqa: F811
    name, alias = names
    place = ("--url", server.url, "--grpc-port", server.grpc_port)
    refused = run("collection", "delete", "--collection", alias, *place, "--yes")
    assert refused.code == 1
    assert f"is an alias of collection '{name}'" in refused.err
    assert "Deleted" not in refused.out
    assert run("collection", "delete", "--collection", alias, *place).code == 1  # before it asks
    assert f"(an alias of {name})" in run("collection", "info", "--collection", alias, *place).out
    (row,) = [line for line in run("collection", "list", *place).out.splitlines() if line.startswith(name)]
    assert alias in row
    done = run("collection", "delete", "--collection", name, *place, "--yes")
    assert (done.code, f"Deleted '{name}'" in done.out) == (0, True)
