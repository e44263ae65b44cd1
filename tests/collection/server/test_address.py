"""Whether a server is surely on another machine, by its address."""

from __future__ import annotations

import socket

import pytest

from tasb_qdrant.collection.server import address
from tasb_qdrant.collection.server.address import is_elsewhere
from tasb_qdrant.settings import store_settings

OURS = "8.8.4.4"


@pytest.mark.parametrize(
    ("found", "elsewhere"),
    [
        pytest.param(["127.0.0.1"], False, id="the loopback"),
        pytest.param(["::1", "127.0.0.1"], False, id="the loopback in both families"),
        pytest.param(["192.168.7.4"], False, id="a local network"),
        pytest.param(["172.18.0.3"], False, id="a network of containers"),
        pytest.param(["10.1.2.3"], False, id="a cluster"),
        pytest.param(["169.254.3.4"], False, id="a link"),
        pytest.param(["100.64.1.2"], False, id="shared addresses"),
        pytest.param(["fd00::7"], False, id="a local network in IPv6"),
        pytest.param(["fe80::7%eth0"], False, id="a link in IPv6"),
        pytest.param(["::ffff:10.1.2.3"], False, id="a cluster, in IPv6"),
        pytest.param(["0.0.0.0"], False, id="any address"),
        pytest.param([OURS], False, id="a public address of this machine"),
        pytest.param(["8.8.8.8", "10.1.2.3"], False, id="a private one among them"),
        pytest.param([], False, id="none"),
        pytest.param(["8.8.8.8"], True, id="a public address"),
        pytest.param(["8.8.8.8", "2001:4860:4860::8888"], True, id="public addresses"),
    ],
)
def test_public_addresses_that_are_not_ours_are_elsewhere(
    monkeypatch: pytest.MonkeyPatch, found: list[str], *, elsewhere: bool
) -> None:
    def resolved(host: str, port: int, **_: object) -> list[object]:
        assert (host, port) == ("qdrant.example", 7000)
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_DGRAM, 0, "", (each, port))
            for each in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(address, "_is_ours", lambda _, where: where[0] == OURS)
    assert is_elsewhere(store_settings(url="http://qdrant.example:7000")) is elsewhere


def test_a_name_that_is_not_found_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert not is_elsewhere(store_settings(url="http://only-a-proxy-knows:6333"))


def test_an_address_is_ours_if_what_we_send_there_comes_from_it() -> None:
    assert address._is_ours(socket.AF_INET, ("127.0.0.1", 6333))
    assert not address._is_ours(socket.AF_INET, ("255.255.255.255", 6333))  # a broadcast, which a socket may not send
