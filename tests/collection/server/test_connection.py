"""Coming to a server: its transports, its key, its version, and whatever else may answer at an address."""

from __future__ import annotations

import contextlib
import socket
import traceback
from collections.abc import Iterator

import pytest
from qdrant_client import models

from tasb_qdrant.collection.open import open_existing, open_store_at
from tasb_qdrant.collection.server.connection import connect
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import (
    CollectionError,
    ContractMismatchError,
    NotOurCollectionError,
    ServerBusyError,
    ServerTooOldError,
    ServerUnreachableError,
    SettingsError,
    StoreCorruptError,
    TasbQdrantError,
    UnauthorizedError,
)
from tasb_qdrant.manage.listing import list_collections
from tasb_qdrant.settings import StoreSettings, Transport, store_settings
from tests.collection.conftest import server_settings
from tests.collection.faults import GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import CONTRACT, Place, fill
from tests.qdrant_servers import QdrantServer, free_port
from tests.waiting import sooner_than

TRANSPORTS: tuple[Transport, ...] = ("auto", "grpc", "rest")
WRONG_KEY = "wr0ng-and-s3cret"


def _everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@contextlib.contextmanager
def _silent_listener() -> Iterator[tuple[str, socket.socket]]:
    """Accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", listening


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_key_that_is_wrong_or_missing_is_refused_and_never_shown(
    keyed_server: QdrantServer, transport: Transport
) -> None:
    for key in (WRONG_KEY, None):
        settings = store_settings(
            url=keyed_server.url, grpc_port=keyed_server.grpc_port, api_key=key, transport=transport
        )
        with pytest.raises(UnauthorizedError, match=r"refused the key or wants one .* set QDRANT_API_KEY") as caught:
            open_store_at(settings)
        assert WRONG_KEY not in _everything_said(caught.value) + repr(settings) + str(settings)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_right_key_works_and_is_never_shown(keyed_server: QdrantServer, transport: Transport) -> None:
    settings = server_settings(keyed_server, transport)
    store = open_store_at(settings)
    place = Place("keyed", settings, store)
    key = keyed_server.api_key
    assert key is not None
    shown = repr(settings) + str(settings) + repr(store) + repr(vars(store)) + repr(place)
    with place.collection("keyed") as collection:
        fill(collection, 5)
        shown += repr(collection) + repr(vars(collection)) + repr(collection.info()) + str(collection.notes)
        assert collection.reads.count() == 5
    with pytest.raises(TasbQdrantError) as caught:
        store.open("not there")
    assert key not in shown + _everything_said(caught.value)
    store.delete("keyed")
    store.close()


def test_a_key_is_refused_over_plain_http_to_another_host_without_connecting() -> None:
    with _silent_listener() as (url, listening):
        elsewhere = url.replace("127.0.0.1", "0.0.0.0")  # reaches the listener, and is no loopback address
        with pytest.raises(SettingsError, match=r"cross the network unencrypted to 0\.0\.0\.0") as caught:
            open_store_at(store_settings(url=elsewhere, api_key=WRONG_KEY))
        assert WRONG_KEY not in _everything_said(caught.value)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_person_may_say_that_the_network_is_their_own(keyed_server: QdrantServer) -> None:
    settings = store_settings(
        url=keyed_server.url.replace("127.0.0.1", "0.0.0.0"),
        grpc_port=keyed_server.grpc_port,
        api_key=keyed_server.api_key,
        allow_plain_http_key=True,
    )
    open_store_at(settings).close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_where_nothing_listens_the_error_comes_at_once(transport: Transport) -> None:
    settings = store_settings(url=f"http://127.0.0.1:{free_port()}", transport=transport, timeout=60)
    with (
        sooner_than(60),
        pytest.raises(ServerUnreachableError, match=r"connecting: nothing answers there .* start the server"),
    ):
        open_store_at(settings)


def test_a_host_that_never_answers_is_given_up_within_the_timeout() -> None:
    with _silent_listener() as (url, _), pytest.raises(ServerUnreachableError, match="doesn't answer in time"):
        open_store_at(store_settings(url=url, timeout=1))


STRANGERS = {
    "a page": HttpFault(200, body=b"<html><body>It works!</body></html>"),
    "not found": HttpFault(404, body=b"<html>Not Found</html>"),
    "a redirect": HttpFault(301, {"location": "https://example.org"}, body=b""),
    "another database": HttpFault(200, body=b'{"name": "es", "version": {"number": "8.1.0"}}'),
    "another's version": HttpFault(200, body=b'{"title": "weaviate", "version": "1.25.0"}'),
    "a list": HttpFault(200, body=b"[]"),
    "binary": HttpFault(200, body=b"\x16\x03\x01\xff"),
    "nothing": HttpFault(200, body=b""),
}


def test_another_programs_answer_is_known_as_such() -> None:
    with HttpProxy() as proxy:
        proxy.when = lambda method, path: True
        for name, fault in STRANGERS.items():
            proxy.always = fault
            with pytest.raises(ServerUnreachableError, match="but it isn't a Qdrant server; correct --url"):
                open_store_at(store_settings(url=proxy.url))
            assert proxy.seen, name


@pytest.mark.parametrize("version", ["1.15.4", "0.9.0", "1.15.9-dev", "nonsense"])
def test_a_server_without_collection_metadata_is_too_old(version: str) -> None:
    with HttpProxy() as proxy:
        proxy.when = lambda method, path: True
        body = f'{{"title": "qdrant - vector search engine", "version": "{version}", "commit": null}}'
        proxy.always = HttpFault(200, body=body.encode())
        with pytest.raises(ServerTooOldError, match=f"this is Qdrant {version}, but 1.16.0 or later is needed"):
            open_store_at(store_settings(url=proxy.url))


def test_a_busy_server_is_waited_for_and_one_that_stays_so_is_named(qdrant_1_17: QdrantServer) -> None:
    waits: list[float] = []
    with HttpProxy(qdrant_1_17) as proxy:
        proxy.when = lambda method, path: True
        proxy.script.extend([HttpFault(503), HttpFault(429, {"retry-after": "3"})])
        settings = store_settings(url=proxy.url, transport="rest")
        ServerStore(settings, sleep=waits.append).close()
        assert len(waits) == 2
        assert waits[1] == 3
        proxy.always = HttpFault(503)
        with pytest.raises(ServerBusyError, match="connecting: the server failed for as long as was retried"):
            ServerStore(settings, sleep=waits.append)
        assert sum(waits) <= 125


def test_https_to_a_plain_server_says_that_the_scheme_may_be_wrong(qdrant_1_17: QdrantServer) -> None:
    with pytest.raises(ServerUnreachableError, match=r"no secure connection .* correct https:// or http:// in --url"):
        open_store_at(store_settings(url=qdrant_1_17.url.replace("http:", "https:")))


def test_without_grpc_rest_is_used_and_said_or_it_is_an_error(qdrant_1_17: QdrantServer) -> None:
    for port in (free_port(), qdrant_1_17.http_port):
        settings = store_settings(url=qdrant_1_17.url, grpc_port=port)
        store = open_store_at(settings)
        place = Place("auto", settings, store)
        with place.collection("noted") as collection:
            (note,) = collection.notes
            assert note.startswith(f"gRPC can't be used on port {port} (UNAVAILABLE); name its port with --grpc-port.")
            assert note.endswith("REST is used, which loads about 4 times slower.")
            assert collection.info().store.endswith("(rest)")
        store.delete("noted")
        store.close()
        with pytest.raises(ServerUnreachableError, match=f"port {port} .* or use --transport rest"):
            open_store_at(store_settings(url=qdrant_1_17.url, grpc_port=port, transport="grpc"))


def test_a_grpc_port_of_another_server_is_not_used(qdrant_1_16: QdrantServer, qdrant_1_17: QdrantServer) -> None:
    if qdrant_1_16.version == qdrant_1_17.version:
        pytest.skip("both servers are the person's own")
    connection = connect(store_settings(url=qdrant_1_17.url, grpc_port=qdrant_1_16.grpc_port))
    assert connection.transport == "rest"
    assert f"another server answers there, Qdrant {qdrant_1_16.version}" in connection.notes[0]
    connection.close()
    connection.close()


def test_proxies_of_the_environment_are_not_asked_for_this_machine(
    qdrant_1_17: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for transport in ("grpc", "rest"):
        open_store_at(server_settings(qdrant_1_17, "grpc" if transport == "grpc" else "rest")).close()


def test_the_key_goes_with_every_request(keyed_server: QdrantServer) -> None:
    with HttpProxy(keyed_server) as proxy:
        store = open_store_at(store_settings(url=proxy.url, api_key=keyed_server.api_key, transport="rest"))
        store.names()
        store.close()
        first, *others = proxy.headers  # what the server is, is asked before it sees the key
        assert "api-key" not in first
        assert {headers["api-key"] for headers in others} == {keyed_server.api_key}


@contextlib.contextmanager
def _foreign(settings: StoreSettings, name: str, **config: object) -> Iterator[None]:
    place = Place("foreign", settings, open_store_at(settings))
    with place.client() as client:
        client.create_collection(name, **config)  # type: ignore[arg-type]  # as each test wants it
        yield
        client.delete_collection(name)
    place.store.close()


def test_collections_of_others_are_refused_listed_and_can_be_deleted(qdrant_server: QdrantServer) -> None:
    settings = server_settings(qdrant_server)
    size = models.VectorParams(size=4, distance=models.Distance.DOT)
    ours = {"tasb_qdrant": {"format": 1, "contract": CONTRACT.to_dict(), "keys": {}, "indexing_threshold_kb": 1}}
    cosine = models.VectorParams(size=8, distance=models.Distance.COSINE)
    with (
        _foreign(settings, "1 foreign é", vectors_config=size),
        _foreign(settings, "2other", vectors_config=size, metadata={"other": 1}),
        _foreign(settings, "3broken", vectors_config=size, metadata={"tasb_qdrant": {"format": 1}}),
        _foreign(settings, "4named", vectors_config={"a": size}, metadata=ours),
        _foreign(settings, "5cosine", vectors_config=cosine, metadata=ours),
        _foreign(settings, "6good", vectors_config=size, metadata=ours),
    ):
        expected: list[tuple[str, type[CollectionError], str]] = [
            ("2other", NotOurCollectionError, "has no model contract.*ingest into another --collection"),
            ("3broken", StoreCorruptError, r"can't be read \(contract: Field required\)"),
            ("4named", StoreCorruptError, "should hold one unnamed vector a point"),
            ("5cosine", ContractMismatchError, "dim: the collection has 8, this run has 4; distance: the collection"),
        ]
        for name, kind, said in expected:
            with pytest.raises(kind, match=said):
                open_existing(name, settings)
        listed = {each.name: each for each in list_collections(settings)}
        assert [listed[name].remark for name in ("1 foreign é", "2other")] == ["made by another program"] * 2
        assert "can't be read" in listed["3broken"].remark
        assert "unnamed vector" in listed["4named"].remark
        assert "dim: the collection has 8" in listed["5cosine"].remark
        info = listed["6good"].info
        assert info is not None
        assert info.contract == CONTRACT


def test_a_failing_server_ends_a_listing(qdrant_1_17: QdrantServer) -> None:
    with HttpProxy(qdrant_1_17) as proxy, _foreign(server_settings(qdrant_1_17), "foreign", vectors_config={}):
        proxy.when = lambda method, path: path.startswith("/collections/foreign")
        proxy.always = HttpFault(401)
        with pytest.raises(UnauthorizedError):
            list_collections(store_settings(url=proxy.url, transport="rest"))


def test_an_alias_opens_its_collection(qdrant_1_17: QdrantServer) -> None:
    settings = server_settings(qdrant_1_17)
    place = Place("alias", settings, open_store_at(settings))
    with place.collection("behind") as collection, place.client() as client:
        fill(collection, 3)
        create = models.CreateAlias(collection_name="behind", alias_name="in-front")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
        opened = open_existing("in-front", settings)
        assert opened.reads.count() == 3
        opened.close()
    place.store.delete("behind")
    place.store.close()


def test_a_connection_goes_through_proxies_of_both_transports(qdrant_1_17: QdrantServer) -> None:
    with GrpcProxy(qdrant_1_17) as grpc_proxy, HttpProxy(qdrant_1_17) as http_proxy:
        connection = connect(store_settings(url=http_proxy.url, grpc_port=grpc_proxy.port))
        assert (connection.transport, connection.notes) == ("grpc", ())
        connection.close()
        with pytest.raises(CollectionError, match="connection to the server is closed"):
            connection.check_open()
