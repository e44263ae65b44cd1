"""Where a collection lives, and how to reach it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.keywords import expanded_signature
from tasb_qdrant.settings.base import Frozen
from tasb_qdrant.settings.environment import QdrantEnvironment

Transport = Literal["auto", "grpc", "rest"]


DEFAULT_STORE: Final = Path("tasb_qdrant_data")
"""The embedded store's folder when neither a server nor a folder is named."""


READ_SECONDS: Final = 10.0
"""How long a read waits by default: who asks stays at the screen, and a load does not."""


DEFAULT_PORT: Final = 6333
"""Qdrant's own for REST, also with https; clients of Qdrant take it where a url names none."""


MAX_SECONDS: Final = 86_400
"""A day: longer timeouts are mistakes, and some overflow in gRPC."""


class StoreOptions(TypedDict, total=False):
    """Where a collection lives: on the server `url` or in the folder `path`, else where `store_settings` says."""

    url: str | None
    """The Qdrant server, such as http://localhost:6333."""

    path: str | Path | None
    """The folder of an embedded store."""

    api_key: str | SecretStr | None
    """The server's API key; None takes `$QDRANT_API_KEY`."""

    transport: Transport
    """How the server is reached: "auto" is gRPC where it answers, else REST."""

    grpc_port: int | None
    """The server's port for gRPC; None means the port of the url plus one."""

    ca_file: str | Path | None
    """PEM file of the authorities that prove an https server; None takes `$QDRANT_CA_FILE`, else `$SSL_CERT_FILE`."""

    client_cert: str | Path | None
    """PEM file of the certificate that proves the client to the server; None takes `$QDRANT_CLIENT_CERT`."""

    client_key: str | Path | None
    """PEM file of its key, where that isn't in the same file; None takes `$QDRANT_CLIENT_KEY`."""

    timeout: float
    """Seconds that one request may take, 60 by default."""

    retry_seconds: float
    """Seconds for which a request that failed for a transient reason is retried, 120 by default."""

    allow_plain_http_key: bool
    """Allow the key to be sent over plain http to a host that is not loopback."""


class ReadingStoreOptions(StoreOptions, total=False):
    """The same for those who read it; a load waits longer."""

    read_timeout: float | None
    """Seconds that opening, or a read, waits for the server in all, retries included; None is 10, or `timeout` if that
    is less."""


class StoreSettings(Frozen):
    """Where a collection lives: on a Qdrant server (`url`) or embedded in a folder (`path`).

    The `api_key` is a SecretStr, so that no repr, log or traceback shows it; it goes over plain http to another host
    only with `allow_plain_http_key`. `transport` and `grpc_port` say how the server is reached, `ca_file` which
    authorities prove it, `client_cert` and `client_key` what proves the client to it, `timeout` how many
    seconds one request may take, `retry_seconds` for how many a failed one is repeated, `read_timeout` how many opening
    or a read may take in all.
    """

    url: str | None = None
    path: Path | None = None
    api_key: SecretStr | None = None
    transport: Transport = "auto"
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    timeout: float = Field(default=60.0, gt=0, le=MAX_SECONDS, allow_inf_nan=False)
    retry_seconds: float = Field(default=120.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)
    allow_plain_http_key: bool = False
    read_timeout: float | None = Field(default=None, gt=0, le=MAX_SECONDS, allow_inf_nan=False)

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str | None) -> str | None:
        return url if url is None else _checked_url(url)

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        # Checked here, because the HTTP and gRPC libraries' own errors about such a header contain the key.
        if key is not None and not _HEADER_SAFE.fullmatch(key.get_secret_value()):
            raise ValueError("the API key must be printable ASCII without spaces and line breaks")
        return key

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("name either a server (url) or a folder (path)")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key is the key of a client_cert, and there is none; name its certificate, too")
        return self

    @property
    def location(self) -> str:
        """The url or folder, for messages."""
        return self.url if self.url is not None else str(self.path)

    @property
    def address(self) -> str:
        """The same, with the port that is tried where the url names none."""
        if self.url is None or (parts := urlsplit(self.url)).port is not None:
            return self.location
        return f"{parts.scheme}://{parts.netloc}:{DEFAULT_PORT}{parts.path}"

    @property
    def read_seconds(self) -> float:
        """How long opening for reading, or a read that has no timeout of its own, waits in all."""
        return min(READ_SECONDS, self.timeout) if self.read_timeout is None else self.read_timeout

    def at(self, url: str, *, transport: Transport) -> StoreSettings:
        """The same settings for another server, reached by `transport`. Raises SettingsError."""
        return StoreSettings(**{**dict(self), "url": url, "path": None, "transport": transport, "grpc_port": None})


_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")


def _checked_url(url: str) -> str:
    """The url; ValueError if it is not that of a server, or contains a secret that would be shown with it."""
    if "@" in url:
        raise ValueError("the url must not hold a user or a password; a key goes into QDRANT_API_KEY")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is parsed only now, and may be invalid
    except ValueError:
        raise ValueError(f"the url has no valid host and port: {url!r}") from None
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the url must start with http:// or https://, got {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("the url must end before '?' and '#'; a key goes into QDRANT_API_KEY")
    if not host or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"the url must be like http://localhost:6333, got {url!r}")
    return url


@expanded_signature(StoreSettings)
def store_settings(**options: Unpack[ReadingStoreOptions]) -> StoreSettings:
    """The url or path given, else `$QDRANT_URL`, else the embedded store in DEFAULT_STORE.

    The API key is `api_key`, else `$QDRANT_API_KEY`; likewise the files of certificates. Raises SettingsError.
    """
    url, path, key = options.get("url"), options.get("path"), options.get("api_key")
    if url is not None and path is not None:
        raise SettingsError(f"both a server ({url}) and a folder ({path}) were given; give one of --url and --path")
    environment = QdrantEnvironment()
    if url is None and path is None:
        url = environment.url or None
    if url is None and path is None:
        path = DEFAULT_STORE
    if isinstance(key, str):
        key = SecretStr(key)
    if key is None and url is not None:
        key = environment.api_key
    values: dict[str, Any] = {
        **options,
        **_certificates(options, url, environment),
        "url": url,
        "path": None if path is None else Path(path),
        "api_key": key if key is not None and key.get_secret_value() else None,
    }
    return StoreSettings(**values)


def _certificates(
    options: ReadingStoreOptions, url: str | None, environment: QdrantEnvironment
) -> dict[str, str | Path | None]:
    """The files of certificates that were given, else those that the environment names. Raises SettingsError where they
    are given for a server that is asked without any."""
    ca, cert, key = options.get("ca_file"), options.get("client_cert"), options.get("client_key")
    if url is None or not url.startswith("https:"):
        given = {"ca_file": ca, "client_cert": cert, "client_key": key}
        if url is not None and (told := [name for name, file in given.items() if file is not None]):
            raise SettingsError(
                f"{', '.join(told)}: certificates are for https, and the url is {url!r}; write https://, or leave "
                "them out"
            )
        return given
    if cert is None:  # the environment's key is of its own certificate
        cert, key = environment.client_cert, key or environment.client_key
    return {"ca_file": ca or environment.ca_file, "client_cert": cert, "client_key": key}
