"""How a server is reached: its ports, and channels and HTTP clients to them, which send the key."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
from qdrant_client.connection import header_adder_interceptor, parse_channel_options

from tasb_qdrant.collection.server.bounded import ENCODINGS, bound, bound_async
from tasb_qdrant.collection.server.certificates import Certificates, ssl_context
from tasb_qdrant.collection.server.key import hidden_key
from tasb_qdrant.collection.server.whole import bounded
from tasb_qdrant.settings import DEFAULT_PORT, StoreSettings, client_for


def scheme(settings: StoreSettings) -> str:
    """http or https."""
    return urlsplit(settings.location).scheme


def is_on_loopback(settings: StoreSettings) -> bool:
    """Whether the server is on this very machine."""
    host = urlsplit(settings.location).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_elsewhere(settings: StoreSettings) -> bool:
    """Whether the server surely is on another machine: all its addresses are public, and none is this machine's.

    A private address may be that of a container on this machine. The host is looked up, which may take seconds.
    """
    host = urlsplit(settings.location).hostname or ""
    try:
        found = socket.getaddrinfo(host, rest_port(settings), type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):  # no such name, as for one that only a proxy knows
        return False
    return bool(found) and all(_is_public(where[0]) and not _is_ours(family, where) for family, *_, where in found)


def _is_public(address: str | int) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # no address of the internet
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_global


def _is_ours(family: int, where: tuple[Any, ...]) -> bool:
    """Whether this machine has the address: what it sends there would come from there. Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return bool(probe.getsockname()[0] == where[0])
    except OSError:  # no way there, as to IPv6 from where there is none; there always is one to an address of ours
        return False


def grpc_port(settings: StoreSettings) -> int:
    """The one given, else the one beside the REST port: 6334 to 6333, as Qdrant's own defaults are."""
    return settings.grpc_port or rest_port(settings) + 1


def rest_port(settings: StoreSettings) -> int:
    """The url's, or Qdrant's own."""
    return urlsplit(settings.location).port or DEFAULT_PORT


def grpc_options(settings: StoreSettings) -> dict[str, Any]:
    """A channel's options."""
    # By default a channel whose server was away for a minute looks for it every two minutes only.
    options = {"grpc.initial_reconnect_backoff_ms": 250, "grpc.max_reconnect_backoff_ms": 2_000}
    # Packed answers are refused, as unpacking one has no bound: nobody asks for them.
    options |= {"grpc.compression_enabled_algorithms_bitset": 1}
    if is_on_loopback(settings):
        options["grpc.enable_http_proxy"] = 0
    return options


def client_options(settings: StoreSettings) -> dict[str, Any]:
    """Options of a qdrant-client's requests over REST and of its channels."""
    options: dict[str, Any] = {"verify": _verify(settings), "grpc_options": grpc_options(settings)}
    options |= {"event_hooks": {"response": [bound]}, "headers": {"accept-encoding": ENCODINGS}}
    if scheme(settings) == "https":
        options["grpc_options"] |= Certificates.of(settings).for_grpc()
    # A proxy from the environment can't reach this machine's loopback, and must not see the key.
    return options | ({"trust_env": False} if is_on_loopback(settings) else {})


def _verify(settings: StoreSettings) -> ssl.SSLContext | bool:
    # Plain http has no certificate: reading this machine's takes 20 ms a client.
    return ssl_context(settings) if scheme(settings) == "https" else False


def _credentials(settings: StoreSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(**Certificates.of(settings).for_grpc())


def plain_channel(settings: StoreSettings) -> grpc.Channel:
    """A channel whose calls bring the key along themselves, as `key_of` has it."""
    if scheme(settings) == "https":
        return grpc.secure_channel(_target(settings), _credentials(settings), _channel_options(settings))
    return grpc.insecure_channel(_target(settings), _channel_options(settings))


def with_key(channel: grpc.Channel, settings: StoreSettings) -> grpc.Channel:
    """The channel as qdrant-client makes its own: it sends the key, and raises an error for a retry-after.

    That takes 70 µs a call.
    """
    return grpc.intercept_channel(channel, header_adder_interceptor(key_of(settings)))


def plain_async_channel(settings: StoreSettings) -> grpc.aio.Channel:
    """A plain channel for the event loop that runs."""
    if scheme(settings) == "https":
        return grpc.aio.secure_channel(_target(settings), _credentials(settings), _channel_options(settings))
    return grpc.aio.insecure_channel(_target(settings), _channel_options(settings))


def key_of(settings: StoreSettings) -> list[tuple[str, str]]:
    """The key as a header, if there is one."""
    key = hidden_key(settings)
    return [] if key is None else [("api-key", key)]


def http_client(settings: StoreSettings) -> httpx.Client:
    """A client whose requests name paths alone."""
    with client_for(settings.location):
        return bounded(httpx.Client(**_http_options(settings), event_hooks={"response": [bound]}))


def async_http_client(settings: StoreSettings) -> httpx.AsyncClient:
    """The same for the event loop that runs."""
    with client_for(settings.location):
        return httpx.AsyncClient(**_http_options(settings), event_hooks={"response": [bound_async]})


def _http_options(settings: StoreSettings) -> dict[str, Any]:
    parts = urlsplit(settings.location)
    return {
        "base_url": f"{parts.scheme}://{_host(settings)}:{rest_port(settings)}{parts.path.rstrip('/')}",
        "headers": {
            "content-type": "application/json",
            "accept-encoding": ENCODINGS,
            **dict(key_of(settings)),
        },
        "verify": _verify(settings),
        # A proxy from the environment can't reach this machine's loopback, and must not see the key.
        "trust_env": not is_on_loopback(settings),
    }


def _host(settings: StoreSettings) -> str:
    host = urlsplit(settings.location).hostname or ""
    return f"[{host}]" if ":" in host else host


def _target(settings: StoreSettings) -> str:
    return f"{_host(settings)}:{grpc_port(settings)}"


def _channel_options(settings: StoreSettings) -> list[tuple[str, Any]]:
    return parse_channel_options(grpc_options(settings))
