"""URLs as sources: told from paths, and shown without what is secret in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from tasb_qdrant.errors import SourceError

_URL: Final = re.compile(r"([a-z][a-z0-9+.\-]+)://(.*)", re.IGNORECASE | re.DOTALL)
_PATH: Final = re.compile(r"(https?|s3a?|gs|gcs|hf|abfss?|az|ftp|file):/([^/].*)", re.IGNORECASE | re.DOTALL)
"""What a Path makes of `s3://bucket`: one slash is lost."""

HIDDEN: Final = "?…"
"""Stands for a query, which may be a signature that lets its holder in."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL, whole. `shown` is what may be printed and kept: without a password, and without the query."""

    scheme: str
    whole: str

    @property
    def shown(self) -> str:
        return self.with_path(urlsplit(self.whole).path)

    @property
    def host(self) -> str:
        """The host, or the bucket, without a user and a password."""
        return urlsplit(self.whole).netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        """The path, without its first slash, as it is written."""
        return urlsplit(self.whole).path.removeprefix("/")

    @property
    def file_path(self) -> str:
        """The path, as it is meant."""
        return unquote(self.path)

    def split_pattern(self) -> tuple[Url, str]:
        """The URL of the folder before the first part of the path with a * or [, and the pattern from there on, ""
        without any."""
        parts = urlsplit(self.whole)
        names = parts.path.split("/")
        at = next((at for at, name in enumerate(names) if "*" in name or "[" in name), len(names))
        folder = urlunsplit(parts._replace(path="/".join(names[:at])))
        return Url(self.scheme, folder), unquote("/".join(names[at:]))

    def with_path(self, path: str) -> str:
        """The name, for people, of something at the same place."""
        query = HIDDEN if urlsplit(self.whole).query else ""
        return urlunsplit((self.scheme, self.host, path, "", "")) + query


def translated(pattern: str) -> str:
    """A glob as a regular expression of whole paths: ** crosses folders, * and [...] don't."""
    parts = re.split(r"(\*\*/|\*\*|\*|\[!?[^\]]+\])", pattern)
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return "".join(
        meant.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part)) for part in parts
    )


def url_of(name: str | Path) -> Url | None:
    """The URL that a source's name is; None for a path."""
    text = str(name)
    if match := _PATH.fullmatch(text) if isinstance(name, Path) else None:
        text = f"{match[1]}://{'/' if match[1].lower() == 'file' else ''}{match[2]}"
    if not (match := _URL.fullmatch(text)):
        return None
    return Url(match[1].lower(), text)


def local_path(url: Url) -> Path:
    """The path that a `file://` URL stands for. Raises SourceError for one of another machine."""
    if url.host not in ("", "localhost"):
        raise SourceError(
            f"a file of the machine {url.host}; name a file of this one: file:///{url.path}", source=url.shown
        )
    return Path(unquote("/" + url.path))


def shown_name(name: str | Path) -> str:
    """The name of a source as it may be printed and kept."""
    url = url_of(name)
    return str(name) if url is None else url.shown
