"""From settings to a client that talks to a Qdrant server: transport, key, version."""

from __future__ import annotations

import ipaddress
import warnings
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import grpc
from qdrant_client import QdrantClient

from tasb_qdrant.collection.retry import CLIENT_ERRORS, named_error
from tasb_qdrant.errors import ServerTooOldError, ServerUnreachableError, SettingsError
from tasb_qdrant.settings import StoreSettings

OLDEST_SERVER: Final = (1, 16, 0)
"""The first with collection metadata, where the model contract lives."""

PROBE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Connection:
    """An open client, the server's version, the transport in use, and what was chosen on the way."""

    client: QdrantClient
    version: tuple[int, int, int]
    transport: str
    notes: tuple[str, ...]


def connect(settings: StoreSettings) -> Connection:
    """A client that is known to work: the server answers, is recent enough, and accepts the key.

    With transport "auto" gRPC is used where its port answers, and REST otherwise, which a note says.
    Raises SettingsError, ServerUnreachableError, ServerTooOldError, UnauthorizedError.
    """
    url = settings.url or ""
    _check_key_is_safe(settings)
    rest = _client(settings, grpc_transport=False)
    version = _server_version(rest, url)
    if settings.transport == "rest":
        return Connection(rest, version, "rest", ())
    client = _client(settings, grpc_transport=True)
    if (problem := _grpc_problem(client)) is None:
        rest.close()
        return Connection(client, version, "grpc", ())
    client.close()
    port = _grpc_port(settings)
    advice = f"gRPC doesn't answer on port {port} ({problem}); name its port with --grpc-port"
    if settings.transport == "grpc":
        raise ServerUnreachableError(f"{url}: {advice}, or use --transport rest")
    return Connection(rest, version, "rest", (f"{advice}. REST is used, which loads about 4 times slower.",))


def _check_key_is_safe(settings: StoreSettings) -> None:
    parts = urlsplit(settings.url or "")
    if settings.api_key is None or parts.scheme == "https" or settings.allow_plain_http_key:
        return
    if not _is_loopback(parts.hostname or ""):
        raise SettingsError(
            f"the API key would cross the network unencrypted to {parts.hostname}; use https://, "
            "or say --allow-plain-http-key where the network is your own"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _grpc_port(settings: StoreSettings) -> int:
    """The one given, else the one beside the REST port: 6334 to 6333, as Qdrant's own defaults are."""
    return settings.grpc_port or _rest_port(settings) + 1


def _rest_port(settings: StoreSettings) -> int:
    parts = urlsplit(settings.url or "")
    try:
        return parts.port or 6333
    except ValueError:
        raise SettingsError(f"the url has no valid port: {settings.url}") from None


def _client(settings: StoreSettings, *, grpc_transport: bool) -> QdrantClient:
    with warnings.catch_warnings():
        # A key over plain http to another host has been refused above; on loopback it is fine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=settings.url,
            port=_rest_port(settings),
            grpc_port=_grpc_port(settings),
            prefer_grpc=grpc_transport,
            api_key=None if settings.api_key is None else settings.api_key.get_secret_value(),
            timeout=max(1, round(settings.timeout)),
            check_compatibility=False,  # we check for what we need, which older servers have too
        )


def _server_version(client: QdrantClient, url: str) -> tuple[int, int, int]:
    try:
        text = client.info().version
        client.get_collections()  # `/` answers without a key; this tells whether ours is accepted
    except CLIENT_ERRORS as error:
        raise named_error(error, location=url, doing="connecting") from error
    except ValueError as error:  # an answer that isn't JSON, or is another program's
        raise ServerUnreachableError(
            f"{url}: something answers there, but it is no Qdrant server; correct --url"
        ) from error
    version = _parse_version(text)
    if version < OLDEST_SERVER:
        oldest = ".".join(str(part) for part in OLDEST_SERVER)
        raise ServerTooOldError(
            f"{url}: this is Qdrant {text}, but {oldest} or later is needed (collection metadata); upgrade the server"
        )
    return version


def _parse_version(text: str) -> tuple[int, int, int]:
    """`1.17.0` and `1.18.0-dev` as numbers; what can't be read counts as 0.0.0."""
    parts = [int(part) if part.isdigit() else 0 for part in text.split("-")[0].split(".")[:3]]
    return (*parts, 0, 0, 0)[:3]  # type: ignore[return-value]  # sliced to three just here


def _grpc_problem(client: QdrantClient) -> str | None:
    """Why gRPC can't be used, or None when it works."""
    from qdrant_client import grpc as messages

    try:
        client.grpc_collections.List(messages.ListCollectionsRequest(), timeout=PROBE_SECONDS)
    except grpc.RpcError as error:
        return str(error.code().name if hasattr(error, "code") else error)
    return None
