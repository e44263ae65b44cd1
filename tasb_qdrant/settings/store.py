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
from tasb_qdrant.keywords import expanded_signature, hidden
from tasb_qdrant.settings.base import Frozen
from tasb_qdrant.settings.environment import QdrantEnvironment

Transport = Literal["auto", "grpc", "rest"]


DEFAULT_STORE: Final = Path("tasb_qdrant_data")
"""The embedded store's folder when neither a server nor a folder is named."""


READ_SECONDS: Final = 10.0
"""How long a read waits by default: who asks stays at the screen, and a load does not."""


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
    only with `allow_plain_http_key`. `transport` and `grpc_port` say how the server is reached, `timeout` how many
    seconds one request may take, `retry_seconds` for how many a failed one is repeated, `read_timeout` how many opening
    or a read may take in all.
    """

    url: str | None = None
    path: Path | None = None
    api_key: SecretStr | None = None
    transport: Transport = "auto"
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    timeout: float = Field(default=60.0, gt=0, le=MAX_SECONDS, allow_inf_nan=False)
    retry_seconds: float = Field(default=120.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)
    allow_plain_http_key: bool = False
    read_timeout: float | None = Field(default=None, gt=0, le=MAX_SECONDS, allow_inf_nan=False)

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str | None) -> str | None:
        return url if url is None else _checked_url(url)

    @field_validator("path")
    @classmethod
    def _possible(cls, path: Path | None) -> Path | None:
        if path is not None and "\0" in str(path):
            raise ValueError(f"a folder's name has no NUL, got {str(path)!r}")
        return path

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
        return self

    @property
    def location(self) -> str:
        """The url or folder, for messages."""
        return self.url if self.url is not None else str(self.path)

    @property
    def read_seconds(self) -> float:
        """How long opening for reading, or a read that has no timeout of its own, waits in all."""
        return min(READ_SECONDS, self.timeout) if self.read_timeout is None else self.read_timeout

    def at(self, url: str, *, transport: Transport) -> StoreSettings:
        """The same settings for another server, reached by `transport`; that the key may cross the network in plain
        text was said of this one's host alone. Raises SettingsError."""
        other = {"url": url, "path": None, "transport": transport, "grpc_port": None, "allow_plain_http_key": False}
        return StoreSettings(**{**dict(self), **other})


_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")
_HOST_AND_PORT: Final = re.compile(r"[\w.\-]+:[0-9]{1,5}/?", re.ASCII)


def _checked_url(url: str) -> str:
    """The url; ValueError if it is not that of a server, or contains a secret that would be shown with it."""
    if "?" in url or "#" in url:
        raise ValueError("the url must end before '?' and '#'; a key goes into QDRANT_API_KEY")
    if "@" in url:
        raise ValueError("the url must not hold a user or a password; a key goes into QDRANT_API_KEY")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is parsed only now, and may be invalid
    except ValueError:
        raise ValueError("the url has no valid host and port; it is like http://localhost:6333") from None
    if not url.startswith(("http://", "https://")):
        # What has no scheme may be a key that took the url's place: only what is like a host and a port is shown.
        got = f", got {url!r}" if _HOST_AND_PORT.fullmatch(url) else "; a key goes into QDRANT_API_KEY"
        raise ValueError(f"the url must start with http:// or https://{got}")
    if not host or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"the url must be like http://localhost:6333, got {url!r}")
    return url


@expanded_signature(StoreSettings)
def store_settings(**options: Unpack[ReadingStoreOptions]) -> StoreSettings:
    """The url or path given, else `$QDRANT_URL`, else the embedded store in DEFAULT_STORE.

    The API key is `api_key`, else `$QDRANT_API_KEY`. Raises SettingsError.
    """
    url, path = options.get("url"), options.get("path")
    key = hidden(options.get("api_key"))
    if url is not None and path is not None:
        StoreSettings(url=url)  # a url that holds a secret is told without it
        raise SettingsError(f"both a server ({url}) and a folder ({path}) were given; give one of --url and --path")
    environment = QdrantEnvironment()
    if url is None and path is None:
        url = environment.url or None
    if url is None and path is None:
        path = DEFAULT_STORE
    if key is None and url is not None:
        key = environment.api_key
    values: dict[str, Any] = {
        **options,
        "url": url,
        "path": None if path is None else Path(path),
        "api_key": key if key is not None and key.get_secret_value() else None,
    }
    return StoreSettings(**values)
