"""From settings to a client that talks to a Qdrant server: transport, key, version."""

from __future__ import annotations

import json
import logging
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tasb_qdrant.collection.server.address import (
    client_options,
    grpc_port,
    http_client,
    is_on_loopback,
    plain_channel,
    rest_port,
    scheme,
    with_key,
)
from tasb_qdrant.collection.server.failure import CLIENT_ERRORS, named_error, sensible, was_answered
from tasb_qdrant.collection.server.retry import call
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import CollectionError, ServerTooOldError, ServerUnreachableError, SettingsError
from tasb_qdrant.settings import DEFAULT_PORT, StoreSettings

log = logging.getLogger(__name__)

OLDEST_SERVER: Final = (1, 16, 0)
"""The first with collection metadata, where the model contract lives."""

PROBE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a question to a server is waited for: seconds that one `request` may take, and for which `retries` may
    begin; together, all that it takes. `loads` says whose patience it is: a load's, or a reader's."""

    request: float
    retries: float
    loads: bool

    @classmethod
    def to_load(cls, settings: StoreSettings) -> Self:
        """Nobody sits and waits, and what was loaded so far is worth waiting for."""
        return cls(settings.timeout, settings.retry_seconds, loads=True)

    @classmethod
    def to_read(cls, settings: StoreSettings) -> Self:
        """Somebody waits: in all no longer than `read_seconds`, a second try included."""
        half = settings.read_seconds / 2
        return cls(min(half, settings.timeout), min(half, settings.retry_seconds), loads=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """An open client, the server's version, the transport in use, and what was chosen on the way.

    `channel`, over gRPC, and `http`, over REST, are of our own, for requests that are bytes; `plain` is the same
    channel without the key. `asking` is for small questions: the same client, or one that waits for less long.
    """

    client: QdrantClient
    asking: QdrantClient
    version: tuple[int, int, int]
    transport: str
    notes: tuple[str, ...]
    channel: grpc.Channel | None = None
    plain: grpc.Channel | None = None
    http: httpx.Client | None = None
    _closed: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        self._closed.set()
        if self.channel is not None:
            self.channel.close()
        if self.http is not None:
            self.http.close()
        self.asking.close()
        self.client.close()

    def check_open(self) -> None:
        """Raises CollectionError after `close`: a closed client's own errors look like a server's."""
        if self._closed.is_set():
            raise CollectionError("the connection to the server is closed; open the collection again")


def connect(
    settings: StoreSettings,
    *,
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
    watch: Watch | None = None,
) -> Connection:
    """A client that is known to work: the server answers, is recent enough, and accepts the key.

    With transport "auto" gRPC is used where its port answers, and REST otherwise, which a note says. `patience` is by
    default a load's.
    Raises SettingsError, ServerUnreachableError, ServerTooOldError, UnauthorizedError.
    """
    _check_key_is_safe(settings)
    patience = patience or Patience.to_load(settings)
    rest = _client(settings, patience.request, over_grpc=False)
    try:
        version = call(
            sensible(lambda: _server_version(rest, settings.address, patience.request)),
            location=settings.address,
            doing="connecting",
            retry_seconds=patience.retries,
            sleep=sleep,
            retry_if=was_answered,  # where nothing answers, a person waits for the error
            watch=watch,
        )
        if settings.transport == "rest":
            return _over_rest(settings, patience, rest, version)
        if isinstance(asking := _over_grpc(settings, patience.request, version), QdrantClient):
            rest.close()
            client = asking if patience.loads else _client(settings, settings.timeout, over_grpc=True)
            plain = plain_channel(settings)
            return Connection(client, asking, version, "grpc", (), with_key(plain, settings), plain)
        advice = f"gRPC can't be used on port {grpc_port(settings)} ({asking}); name its port with --grpc-port"
        if settings.transport == "grpc":
            raise ServerUnreachableError(f"{settings.location}: {advice}, or use --transport rest")
    except BaseException as error:
        rest.close()
        if isinstance(error, ServerUnreachableError) and (hint := _about_the_port(settings)):
            raise ServerUnreachableError(f"{error}{hint}") from error
        raise
    note = f"{advice}. REST is used, which loads about 4 times slower."
    log.warning("%s: %s", settings.location, note)
    return _over_rest(settings, patience, rest, version, note)


def _about_the_port(settings: StoreSettings) -> str:
    """What may be wrong where nothing, or something else, answers at a url without a port."""
    if settings.address == settings.location:
        return ""
    parts = urlsplit(settings.location)
    usual = 443 if parts.scheme == "https" else 80
    return (
        f". The url names no port, so that Qdrant's own, {DEFAULT_PORT}, was tried; if the server is behind a proxy, "
        f"name the proxy's, such as {parts.scheme}://{parts.netloc}:{usual}{parts.path}"
    )


def _over_rest(
    settings: StoreSettings, patience: Patience, asking: QdrantClient, version: tuple[int, int, int], *notes: str
) -> Connection:
    client = asking if patience.loads else _client(settings, settings.timeout, over_grpc=False)
    return Connection(client, asking, version, "rest", notes, http=http_client(settings))


def _check_key_is_safe(settings: StoreSettings) -> None:
    if settings.api_key is None or settings.allow_plain_http_key or scheme(settings) == "https":
        return
    if not is_on_loopback(settings):
        host = urlsplit(settings.location).hostname
        raise SettingsError(
            f"the API key would cross the network unencrypted to {host}; use https://, "
            "or say --allow-plain-http-key where the network is your own"
        )


def _client(settings: StoreSettings, timeout: float, *, over_grpc: bool) -> QdrantClient:
    with warnings.catch_warnings():
        # A key over plain http to another host has been refused above; on loopback it is fine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=settings.url,
            port=rest_port(settings),
            grpc_port=grpc_port(settings),
            prefer_grpc=over_grpc,
            api_key=None if settings.api_key is None else settings.api_key.get_secret_value(),
            timeout=max(1, round(timeout)),
            check_compatibility=False,  # we check for what we need, which older servers have too
            **client_options(settings),
        )


def _server_version(client: QdrantClient, url: str, timeout: float) -> tuple[int, int, int]:
    """Raises ServerTooOldError, ServerUnreachableError for another program, and what the client raises."""
    stranger = ServerUnreachableError(f"{url}: something answers there, but it isn't a Qdrant server; correct --url")
    try:
        described = client.info()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise stranger from error
    except ResponseHandlingException as error:
        if isinstance(error.source, ValidationError):
            raise stranger from error
        if isinstance(error.source, httpx.RemoteProtocolError) and "illegal" in str(error.source):
            raise ServerUnreachableError(
                f"{url}: something answers there, but not in HTTP ({error.source}); correct http:// or https:// in "
                "--url, or its port"
            ) from error
        if isinstance(error.source, httpx.ReadTimeout | httpx.WriteTimeout):
            raise ServerUnreachableError(
                f"{url}: something takes connections there and doesn't answer in time, within {max(1, timeout):.0f} s; "
                "look whether the server is well, or correct --url"
            ) from error
        raise
    except UnexpectedResponse as error:
        if error.status_code is not None and error.status_code < 500 and error.status_code not in (401, 403, 408, 429):
            raise stranger from error
        raise
    if "qdrant" not in described.title.lower():
        raise stranger
    version = _parse_version(described.version)
    if version < OLDEST_SERVER:
        oldest = ".".join(str(part) for part in OLDEST_SERVER)
        raise ServerTooOldError(
            f"{url}: this is Qdrant {described.version}, but {oldest} or later is needed (collection metadata); "
            "upgrade the server"
        )
    client.get_collections()  # `/` answers without a key; this tells whether ours is accepted
    return version


def _parse_version(text: str) -> tuple[int, int, int]:
    """`1.17.0` and `1.18.0-dev` as numbers; what can't be read counts as 0."""
    parts = [int(part) if part.isdecimal() else 0 for part in text.split("-")[0].split(".")[:3]]
    return (*parts, 0, 0, 0)[:3]  # type: ignore[return-value]  # sliced to three just here


def _over_grpc(settings: StoreSettings, timeout: float, version: tuple[int, int, int]) -> QdrantClient | str:
    """A client over gRPC, or why there is none."""
    client = _client(settings, timeout, over_grpc=True)
    try:
        client.grpc_collections.List(messages.ListCollectionsRequest(), timeout=min(PROBE_SECONDS, timeout))
        found = client.info().version
    except CLIENT_ERRORS as error:
        client.close()
        return str(error.code().name if hasattr(error, "code") else named_error(error, location="", doing=""))
    except BaseException:
        client.close()
        raise
    if _parse_version(found) != version:
        client.close()
        return f"another server answers there, Qdrant {found}"
    return client
