"""From settings to a client that talks to a Qdrant server: transport, key, version."""

from __future__ import annotations

import json
import re
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
from tasb_qdrant.collection.server.failure import (
    CLIENT_ERRORS,
    JunkAnswerError,
    named_error,
    sensible,
    was_answered,
)
from tasb_qdrant.collection.server.key import hidden_key, without_frames, without_key
from tasb_qdrant.collection.server.questions import Questions
from tasb_qdrant.collection.server.rest_answers import checked
from tasb_qdrant.collection.server.retry import call
from tasb_qdrant.collection.server.whole import bounded, whole, within
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import CollectionError, ServerTooOldError, ServerUnreachableError, SettingsError
from tasb_qdrant.forks import Origin, keep
from tasb_qdrant.printable import logger
from tasb_qdrant.settings import DEFAULT_PORT, StoreSettings, client_for
from tasb_qdrant.steps import NEVER, Deadline

log = logger(__name__)

OLDEST_SERVER: Final = (1, 16, 0)
"""The first with collection metadata, where the model contract lives."""

PROBE_SECONDS: Final = 5.0

_NUMBER: Final = re.compile("[0-9]{1,9}")
"""Part of a version."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a question to a server is waited for: seconds that one `request` may take, and for which `retries` may
    begin; together, all that it takes. `loads` says whose patience it is: a load's, or a reader's. `total` is what
    several questions may take together, None that each has its own time."""

    request: float
    retries: float
    loads: bool
    total: float | None = None

    @classmethod
    def to_load(cls, settings: StoreSettings) -> Self:
        """Nobody sits and waits, and what was loaded so far is worth waiting for."""
        return cls(settings.timeout, settings.retry_seconds, loads=True)

    @classmethod
    def to_read(cls, settings: StoreSettings) -> Self:
        """Somebody waits: in all no longer than `read_seconds`, a second try included."""
        half = settings.read_seconds / 2
        retries = min(half, settings.retry_seconds)
        return cls(min(half, settings.timeout), retries, loads=False, total=settings.read_seconds)

    def begin(self) -> Deadline:
        """When what begins now is to end."""
        return Deadline.after(self.total)


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
    _origin: Origin = field(default_factory=Origin, repr=False, compare=False)
    _closed: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @property
    def questions(self) -> Questions:
        """Small questions, each with a limit of its own."""
        return Questions(self.asking, over_grpc=self.transport == "grpc")

    def close(self) -> None:
        """Close the connection. May be called twice; in a process that was forked meanwhile it does nothing, as the
        connection is its parent's."""
        if self._origin.is_elsewhere:
            keep(self)
            return
        self._closed.set()
        if self.channel is not None:
            self.channel.close()
        if self.http is not None:
            self.http.close()
        self.asking.close()
        self.client.close()

    def check_open(self) -> None:
        """Raises CollectionError after `close`: a closed client's own errors look like a server's. Raises ForkedError
        in another process: two that share a socket read each other's answers."""
        if self._closed.is_set():
            raise CollectionError("the connection to the server is closed; open the collection again")
        self._origin.check("the connection to the server")


def connect(
    settings: StoreSettings,
    *,
    patience: Patience | None = None,
    deadline: Deadline = NEVER,
    sleep: Callable[[float], None] = time.sleep,
    watch: Watch | None = None,
) -> Connection:
    """A client that is known to work: the server answers, is recent enough, and accepts the key.

    With transport "auto" gRPC is used where its port answers, and REST otherwise, which a note says. `patience` is by
    default a load's, and all of it ends at the `deadline`.
    Raises SettingsError, ServerUnreachableError, ServerTooOldError, UnauthorizedError.
    """
    _check_host(settings)
    _check_key_is_safe(settings)
    patience = patience or Patience.to_load(settings)
    rest = _client(settings, patience.request, over_grpc=False)

    def ask_version() -> tuple[int, int, int]:
        with within(seconds := deadline.left(patience.request)):
            return _known_version(rest, settings, seconds)

    try:
        version = call(
            sensible(ask_version),
            location=settings.address,
            doing="connecting",
            retry_seconds=deadline.left(patience.retries),
            sleep=sleep,
            retry_if=was_answered,  # where nothing answers, a person waits for the error
            watch=watch,
        )
        if settings.transport == "rest":
            return _over_rest(settings, patience, rest, version)
        if isinstance(asking := _over_grpc(settings, patience.request, version, deadline), QdrantClient):
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


def _check_host(settings: StoreSettings) -> None:
    """httpx reads the names of hosts with each request, and raises what it likes."""
    try:
        _ = httpx.URL(settings.location).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SettingsError(
            f"{settings.location}: the url has no valid host ({error}); it is like http://localhost:6333"
        ) from None


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
    with client_for(settings.location), warnings.catch_warnings():
        # A key over plain http to another host has been refused above; on loopback it is fine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=settings.url,
            port=rest_port(settings),
            grpc_port=grpc_port(settings),
            prefer_grpc=over_grpc,
            api_key=hidden_key(settings),
            timeout=max(1, round(timeout)),
            check_compatibility=False,  # we check for what we need, which older servers have too
            **client_options(settings),
        )
    bounded(client.http.client._client)  # it makes its HTTP client itself
    client.http.client.add_middleware(whole)
    client.http.client.add_middleware(checked)
    return client


def _known_version(rest: QdrantClient, settings: StoreSettings, timeout: float) -> tuple[int, int, int]:
    """That of a server which accepts the key. It is asked what it is before it sees the key: another program may be
    listening. A gateway before it may want the key for that, too."""
    if settings.api_key is None:
        version = _server_version(rest, settings.address, timeout)
    else:
        keyless = _client(without_key(settings), timeout, over_grpc=False)
        try:
            version = _server_version(keyless, settings.address, timeout)
        except UnexpectedResponse as error:
            if error.status_code not in (401, 403):
                raise
            version = _server_version(rest, settings.address, timeout)
        finally:
            keyless.close()
    try:
        rest.get_collections()  # `/` answers without a key; this tells whether ours is accepted
    except ResponseHandlingException as error:
        _check_answered(error, settings.address, timeout)
        raise
    return version


def _server_version(client: QdrantClient, url: str, timeout: float) -> tuple[int, int, int]:
    """Raises ServerTooOldError, ServerUnreachableError for another program, and what the client raises."""
    stranger = ServerUnreachableError(f"{url}: something answers there, but it isn't a Qdrant server; correct --url")
    try:
        described = client.info()
    except (json.JSONDecodeError, UnicodeDecodeError, JunkAnswerError) as error:
        raise stranger from without_frames(error)
    except ResponseHandlingException as error:
        if isinstance(error.source, ValidationError):
            raise stranger from without_frames(error)
        if isinstance(error.source, httpx.RemoteProtocolError) and "illegal" in str(error.source):
            raise ServerUnreachableError(
                f"{url}: something answers there, but not in HTTP ({error.source}); correct http:// or https:// in "
                "--url, or its port"
            ) from without_frames(error)
        _check_answered(error, url, timeout)
        raise
    except UnexpectedResponse as error:
        if error.status_code is not None and error.status_code < 500 and error.status_code not in (401, 403, 408, 429):
            raise stranger from without_frames(error)
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
    return version


def _check_answered(error: ResponseHandlingException, url: str, timeout: float) -> None:
    """Raises ServerUnreachableError if it is that no answer came in so many seconds."""
    if isinstance(error.source, httpx.ReadTimeout | httpx.WriteTimeout):
        raise ServerUnreachableError(
            f"{url}: something takes connections there and doesn't answer in time, within {timeout:.3g} s; "
            "look whether the server is well, or correct --url"
        ) from without_frames(error)


def _parse_version(text: str) -> tuple[int, int, int]:
    """`1.17.0` and `1.18.0-dev` as numbers; what can't be read counts as 0."""
    parts = [int(part) if _NUMBER.fullmatch(part) else 0 for part in text.split("-")[0].split(".")[:3]]
    return (*parts, 0, 0, 0)[:3]  # type: ignore[return-value]  # sliced to three just here


def _over_grpc(
    settings: StoreSettings, timeout: float, version: tuple[int, int, int], deadline: Deadline
) -> QdrantClient | str:
    """A client over gRPC, or why there is none. What listens there is asked what it is before it sees the key, unless
    a person has named the port: it is beside the named one, where anything may be."""
    if settings.api_key is not None and (why := _no_qdrant_at(settings, deadline.left(timeout), version)):
        return why
    client = _client(settings, timeout, over_grpc=True)
    try:
        probe = min(PROBE_SECONDS, timeout)
        client.grpc_collections.List(messages.ListCollectionsRequest(), timeout=deadline.left(probe))
        root = client._client.grpc_root  # type: ignore[attr-defined]  # its own `info` has whole seconds for a limit
        found = root.HealthCheck(messages.HealthCheckRequest(), timeout=deadline.left(timeout)).version
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


def _no_qdrant_at(settings: StoreSettings, timeout: float, version: tuple[int, int, int]) -> str:
    """Why the gRPC port is not one of the same server, found out without the key; "" if it is."""
    with plain_channel(settings) as channel:
        try:
            stub = messages.QdrantStub(channel)  # type: ignore[no-untyped-call]  # it is generated
            answer = stub.HealthCheck(messages.HealthCheckRequest(), timeout=min(PROBE_SECONDS, timeout))
        except grpc.RpcError as error:
            code = error.code() if hasattr(error, "code") else None
            wants_key = code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
            return "" if wants_key and settings.grpc_port is not None else getattr(code, "name", str(error))
    if "qdrant" not in answer.title.lower():
        return "another program answers there"
    return "" if _parse_version(answer.version) == version else f"another server answers there, Qdrant {answer.version}"
