"""Object stores and the hub: files and folders, through pyarrow's file systems and fsspec's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, Protocol, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tasb_qdrant.errors import SourceError
from tasb_qdrant.settings import s3_endpoint
from tasb_qdrant.sources.remote.file import RemoteFile
from tasb_qdrant.sources.remote.quiet import unlogged, without_secrets
from tasb_qdrant.sources.remote.url import Url

_TRIES: Final = 5
_SECONDS: Final = 60
_STREAM_BYTES: Final = 4 * 1024 * 1024
"""Read in one request of a stream: object stores take 50 ms for each."""

ARROW: Final = ("s3", "s3a", "gs", "gcs", "abfs", "abfss")
HUB: Final = "hf"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder in a store. `path` is what the store calls it."""

    path: str
    size: int | None = None
    version: str = ""
    is_folder: bool = False


class Store(Protocol):
    """A file system of a library."""

    def look(self, path: str) -> Entry:
        """What there is. Raises FileNotFoundError, OSError."""
        ...

    def below(self, path: str) -> Iterator[Entry]:
        """All files below a folder, however deep."""
        ...

    def stream(self, path: str) -> BinaryIO: ...

    def seekable(self, path: str) -> Any: ...


class RemotePlace:
    """What a URL of a store stands for: `file`, or a folder's `names` and their files. Raises SourceError."""

    def __init__(self, url: Url) -> None:
        self.url = url
        with named_failures(url):
            self._store, whole = _store_of(url)
            found = self._store.look(whole.rstrip("/"))
            self.root = found.path
            self._entries = {one.path: one for one in self._store.below(found.path)} if found.is_folder else {}
        self.file = None if found.is_folder else self._file(found, PurePosixPath(found.path).name)

    @property
    def names(self) -> list[PurePosixPath]:
        """The files below the folder, by their paths in it."""
        return [PurePosixPath(path.removeprefix(self.root).lstrip("/")) for path in self._entries]

    def below(self, name: PurePosixPath) -> RemoteFile:
        """The file of this name in the folder."""
        return self._file(self._entries[f"{self.root}/{name}".lstrip("/")], str(name))

    def _file(self, entry: Entry, label: str) -> RemoteFile:
        def guarded(opened: Callable[[str], Any]) -> Any:
            with named_failures(self.url, entry.path):
                return opened(entry.path)

        def now() -> tuple[int | None, str]:
            with named_failures(self.url, entry.path):
                found = self._store.look(entry.path)
            return found.size, found.version

        return RemoteFile(
            name=shown(self.url, entry.path),
            size=entry.size,
            version=entry.version,
            path=PurePosixPath(entry.path),
            label=label,
            stream=lambda: cast("BinaryIO", _Named(guarded(self._store.stream), self.url, entry.path)),
            seekable=partial(guarded, self._store.seekable),
            now=now,
        )


class _Named(io.RawIOBase):
    """The stream of a library, whose failures name the file."""

    def __init__(self, stream: BinaryIO, url: Url, path: str) -> None:
        self._stream, self._url, self._path = stream, url, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with named_failures(self._url, self._path):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the library's stream, too."""
        if not self.closed:
            self._stream.close()
        super().close()


def shown(url: Url, path: str) -> str:
    """The URL of a file of the same store, for people."""
    inner = path if url.scheme == HUB else path.partition("/")[2]
    return f"{url.scheme}://{path}" if url.scheme == HUB else url.with_path(f"/{inner}")


@contextmanager
def named_failures(url: Url, path: str | None = None) -> Iterator[None]:
    """What a library raises as SourceError, which names the URL without its query."""
    name = url.shown if path is None else shown(url, path)
    try:
        with unlogged():
            yield
    except SourceError:
        raise
    except FileNotFoundError:
        raise SourceError("no such file or folder; correct the URL", source=name) from None
    except ImportError as error:
        raise SourceError(f"a URL of {url.scheme}://, which needs another package ({error})", source=name) from None
    except Exception as error:  # each library, and each of its parts, has classes of its own
        reason = without_secrets(" ".join(str(error).split())) or type(error).__name__
        raise SourceError(
            f"can't be read ({reason[:400]}); see that the name is right, and that this machine has the credentials "
            "for it",
            source=name,
        ) from None


def _store_of(url: Url) -> tuple[Store, str]:
    if url.scheme in ARROW:
        return _arrow_store(url)
    if url.scheme == HUB:
        from huggingface_hub import HfFileSystem

        files: Any = HfFileSystem(skip_instance_cache=True, use_listings_cache=False)
        return _Fsspec(files), unquote(f"{url.host}/{url.path}".rstrip("/"))
    import fsspec

    files, path = fsspec.core.url_to_fs(url.whole, use_listings_cache=False)
    return _Fsspec(files), path


def _arrow_store(url: Url) -> tuple[Store, str]:
    from pyarrow import fs

    path = unquote(f"{url.host}/{url.path}")
    parts = urlsplit(url.whole)
    if url.scheme in ("gs", "gcs"):
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        given: dict[str, Any] = {name: asked[name] for name in ("endpoint_override", "scheme") if name in asked}
        return _Arrow(
            fs.GcsFileSystem(
                anonymous=parts.username == "anonymous", retry_time_limit=timedelta(seconds=_SECONDS), **given
            )
        ), path
    if url.scheme in ("abfs", "abfss"):
        files, path = fs.FileSystem.from_uri(url.whole)
        return _Arrow(files), path
    return _Arrow(_s3(url)), path


def _s3(url: Url) -> Any:
    """S3, or what speaks its protocol: `?endpoint_override=HOST:PORT&scheme=http&region=…`, as pyarrow has them."""
    from pyarrow import fs

    parts = urlsplit(url.whole)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    given: dict[str, Any] = {name: asked[name] for name in ("region", "scheme", "endpoint_override") if name in asked}
    if "endpoint_override" not in given and (endpoint := s3_endpoint()):
        scheme, _, host = endpoint.rpartition("://")
        given |= {"endpoint_override": host, "scheme": scheme or "https"}
    if parts.username == "anonymous":
        given["anonymous"] = True
    elif parts.username and parts.password:
        given |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password)}
    make = partial(
        fs.S3FileSystem,
        connect_timeout=10,
        request_timeout=_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )
    files = make(**given)
    try:
        files.get_file_info(url.host)
    except OSError as error:  # it may be that files can be read, and the bucket not be looked at
        if "301" in str(error) and "region" not in given:
            return make(**given, region=fs.resolve_s3_region(url.host))
    return files


class _Arrow:
    """A file system of pyarrow's."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def look(self, path: str) -> Entry:
        from pyarrow import fs

        info = self._files.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(path)
        return self._entry(info)

    def below(self, path: str) -> Iterator[Entry]:
        from pyarrow import fs

        for info in self._files.get_file_info(fs.FileSelector(path, recursive=True)):
            if info.type == fs.FileType.File:
                yield self._entry(info)

    def stream(self, path: str) -> BinaryIO:
        return cast("BinaryIO", self._files.open_input_stream(path, compression=None, buffer_size=_STREAM_BYTES))

    def seekable(self, path: str) -> Any:
        return self._files.open_input_file(path)

    def _entry(self, info: Any) -> Entry:
        from pyarrow import fs

        version = "" if info.mtime_ns is None else str(info.mtime_ns)
        return Entry(info.path, info.size, version, info.type == fs.FileType.Directory)


class _Fsspec:
    """A file system of fsspec's."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def look(self, path: str) -> Entry:
        self._files.invalidate_cache()
        return self._entry(self._files.info(path))

    def below(self, path: str) -> Iterator[Entry]:
        found: dict[str, Any] = self._files.find(path, detail=True)
        for info in found.values():
            if info["type"] == "file":
                yield self._entry(info)

    def stream(self, path: str) -> BinaryIO:
        return cast("BinaryIO", self._files.open(path, "rb"))

    def seekable(self, path: str) -> Any:
        return self._files.open(path, "rb")

    def _entry(self, info: Any) -> Entry:
        told = ("blob_id", "ETag", "etag", "mtime", "last_modified", "LastModified", "modify")
        version = next((str(info[name]) for name in told if info.get(name)), "")
        return Entry(info["name"].rstrip("/"), info.get("size"), version, info["type"] != "file")
