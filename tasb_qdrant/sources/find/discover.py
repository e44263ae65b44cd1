"""From the sources that a person names (files, folders, globs, `-`) to the list of inputs to read."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, Literal, NoReturn

from tasb_qdrant.errors import SettingsError, SourceError
from tasb_qdrant.sources.find.folders import files_in, is_hidden
from tasb_qdrant.sources.find.partitions import Partition
from tasb_qdrant.sources.find.tables import live_files, refuse_part_of_table, refuse_remote_tables
from tasb_qdrant.sources.remote.file import RemoteFile
from tasb_qdrant.sources.remote.url import Url, local_path, translated, url_of

STDIN: Final = "-"

COMPRESSED_ENDINGS: Final = (".gz", ".zst", ".zstd")

_KINDS: Final = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something to read. `path` is None for standard input and for what is `remote`; `size` in bytes is None for
    streams.

    `label` is its path below the folder that was named. `partition` is what a table's log says of all its rows;
    None: the names of the folders say it.
    """

    path: Path | None
    kind: Literal["file", "fifo", "stdin", "remote"]
    size: int | None
    identity: tuple[int, int] | str | None
    label: str = ""
    partition: Partition | None = field(default=None, compare=False)
    remote: RemoteFile | None = None

    @property
    def name(self) -> str:
        """As shown to people."""
        if self.remote is not None:
            return self.remote.name
        return "<stdin>" if self.path is None else str(self.path)

    @property
    def place(self) -> PurePath | None:
        """Its path, here or elsewhere; None for standard input."""
        return self.path if self.remote is None else self.remote.path


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which files a folder or glob may contribute: those with these endings, except the excluded ones."""

    endings: tuple[str, ...]
    excluded: frozenset[tuple[int, int]]

    def allows(self, path: Path) -> bool:
        if not self.excluded:
            return True
        status = _stat(path)
        return (status.st_dev, status.st_ino) not in self.excluded


def discover(sources: Sequence[str | Path], *, endings: Sequence[str], excluded: Collection[Path] = ()) -> list[Found]:
    """The inputs that the names stand for, in the order given; those from a folder or glob are sorted by path.

    A folder stands for every file below it, however deep, whose name ends in one of `endings`. Skipped are files
    and folders whose names begin with `_` or `.`, links to folders, collections of the embedded store, subfolders
    that hold a model (`config.json` or `modules.json`), and the files in `excluded`. A folder with a corpus beside
    queries or qrels (BEIR's layout, files or folders of any format) stands for the corpus alone, and a Delta Lake
    table for the files of its newest version. A glob (`**` crosses folders) stands for every file it matches except
    those in `excluded`, and, unless it has `**`, for the folders it matches too; it matches names that begin with
    `_` or `.` only if a part of the pattern begins so.

    Raises SourceError for a name that matches nothing or can't be read, and for a file named twice, which
    would duplicate its passages.
    """
    if isinstance(sources, str | Path):
        raise SettingsError(f"sources must be a list of names, got the single name {str(sources)!r}")
    if not sources:
        raise SettingsError("no source was given; name a file, a folder, a glob, or - for standard input")
    selection = _Selection(tuple(endings), frozenset(_identities(excluded)))
    found: list[Found] = []
    seen: dict[tuple[int, int] | str | None, Found] = {}
    for source in sources:
        for one in _expand(source, selection):
            if one.identity in seen:
                _refuse_twice(seen[one.identity], one)
            seen[one.identity] = one
            found.append(one)
    return found


def _expand(source: str | Path, selection: _Selection) -> Iterator[Found]:
    name = str(source)
    if not name:
        raise SettingsError("a source has an empty name; name a file, a folder, a glob, or -")
    if (url := url_of(source)) is not None:
        yield from _from_url(url, selection)
    elif name == STDIN:
        yield Found(path=None, kind="stdin", size=None, identity=None)
    elif glob.has_magic(name) and not os.path.lexists(name):
        yield from _matches(name, selection)
    else:
        yield from _folder_or_file(Path(name), selection)


def _from_url(url: Url, selection: _Selection) -> Iterator[Found]:
    if url.scheme == "file":
        yield from _folder_or_file(local_path(url), selection)
        return
    if url.scheme in ("http", "https"):
        from tasb_qdrant.sources.remote.http import http_file

        yield _remote(http_file(url), identity=url.whole)
        return
    from tasb_qdrant.sources.remote.stores import RemotePlace

    folder, pattern = url.split_pattern()
    place = RemotePlace(folder)
    if place.file is not None:
        yield _remote(place.file)
        return
    refuse_remote_tables(place.names, source=url.shown)
    chosen = _matching(place.names, pattern) if pattern else _wanted(place.names, selection)
    if not chosen:
        raise SourceError(
            f"there is no file that {f'matches {pattern}' if pattern else _described(selection.endings)}; name the "
            "files, or a pattern, with --format",
            source=url.shown,
        )
    for name in sorted(chosen):
        yield _remote(place.below(name))


def _wanted(names: Sequence[PurePosixPath], selection: _Selection) -> list[PurePosixPath]:
    paths = files_in(Path(), endings=selection.endings, plain_name=_plain_name, on_error=_unreadable, names=names)
    return [PurePosixPath(path) for path in paths]


def _matching(names: Sequence[PurePosixPath], pattern: str) -> list[PurePosixPath]:
    """The names that a pattern stands for, by the rules of those on this machine."""
    asked = {part[0] for part in PurePosixPath(pattern).parts if part.startswith((".", "_"))}
    compiled = re.compile(translated(pattern))
    return [name for name in names if compiled.fullmatch(str(name)) and not _set_aside(name, asked)]


def _remote(file: RemoteFile, *, identity: str | None = None) -> Found:
    return Found(
        path=None, kind="remote", size=file.size, identity=identity or file.name, label=file.label, remote=file
    )


def _folder_or_file(path: Path, selection: _Selection, *, label: str | None = None) -> Iterator[Found]:
    status = _stat(path)
    if stat.S_ISDIR(status.st_mode):
        yield from _folder(path, selection, label=label)
    else:
        refuse_part_of_table(path)
        yield _file(path, status, label=label or path.name)


def _matches(pattern: str, selection: _Selection) -> Iterator[Found]:
    fixed = _before_magic(pattern)
    asked = {part[0] for part in Path(pattern).relative_to(fixed).parts if part.startswith((".", "_"))}
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    if "**" in pattern:
        paths = [path for path in paths if not path.is_dir()]
    paths = [path for path in paths if selection.allows(path) and not _set_aside(path.relative_to(fixed), asked)]
    if not paths:
        raise SourceError(
            "the pattern matches no file (names that begin with _ or . are skipped); correct it, or list the files "
            "with ls",
            source=pattern,
        )
    for path in paths:
        yield from _folder_or_file(path, selection, label=path.relative_to(fixed).as_posix())


def _before_magic(pattern: str) -> Path:
    """The folder that all matches lie in."""
    parts = Path(pattern).parts
    return Path(*parts[: next(at for at, part in enumerate(parts) if glob.has_magic(part))])


def _set_aside(path: PurePath, asked: Collection[str]) -> bool:
    """Whether a part of the path is hidden, and the pattern doesn't spell out that such ones are meant."""
    return any(is_hidden(part) and part[0] not in asked for part in path.parts)


def _folder(folder: Path, selection: _Selection, *, label: str | None = None) -> Iterator[Found]:
    visible = files_in(folder, endings=selection.endings, plain_name=_plain_name, on_error=_unreadable)
    paths = sorted(path for path in visible if selection.allows(path))
    if not paths:
        raise SourceError(
            f"the folder has no file that {_described(selection.endings)}; name the files, or a glob, with --format",
            source=str(folder),
        )
    for path in paths:
        inner = path.relative_to(folder).as_posix()
        if path.is_dir():
            yield from _table(path)
        else:
            yield _file(path, _stat(path), label=f"{label}/{inner}" if label else inner)


def _described(endings: Sequence[str]) -> str:
    return (
        f"ends in {', '.join(endings)} (with or without {', '.join(COMPRESSED_ENDINGS)}; names that begin with _ or . "
        "are skipped)"
    )


def _table(folder: Path) -> Iterator[Found]:
    for path, partition in live_files(folder):
        yield replace(_file(path, _stat(path), label=path.name), partition=partition)


def _identities(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """The identities of the files that exist; the others can't turn up anyway."""
    for path in paths:
        if os.path.exists(path):
            status = _stat(path)
            yield status.st_dev, status.st_ino


def _plain_name(name: str) -> str:
    """The name in lower case, without a compression ending."""
    name = name.lower()
    return next((name.removesuffix(end) for end in COMPRESSED_ENDINGS if name.endswith(end)), name)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise SourceError("no such file or folder; correct the name", source=str(path)) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _file(path: Path, status: os.stat_result, *, label: str) -> Found:
    identity = (status.st_dev, status.st_ino)
    if stat.S_ISREG(status.st_mode):
        return Found(path=path, kind="file", size=status.st_size, identity=identity, label=label)
    if stat.S_ISFIFO(status.st_mode):
        return Found(path=path, kind="fifo", size=None, identity=identity, label=label)
    kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "not a regular file")
    raise SourceError(
        f"{kind}, but only files, folders and pipes can be read; use - for standard input", source=str(path)
    )


def _unreadable(path: Path, error: OSError | ValueError) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return SourceError(f"can't be read ({reason}); correct the name or its permissions", source=str(path))


def _refuse_twice(first: Found, second: Found) -> NoReturn:
    again = "" if first.name == second.name else f", before as {first.name}"
    raise SourceError(f"is named twice{again}, which would duplicate its passages; name it once", source=second.name)


def ending(name: str, endings: Iterable[str]) -> str | None:
    """The one of `endings` that the file's name has, apart from a compression ending, or None."""
    plain = _plain_name(Path(name).name)
    return next((end for end in endings if plain.endswith(end)), None)
