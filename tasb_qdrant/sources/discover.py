"""From the sources that a person names (files, folders, globs, `-`) to the list of inputs to read."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from tasb_qdrant.errors import SettingsError, SourceError

STDIN: Final = "-"

COMPRESSED_ENDINGS: Final = (".gz", ".zst", ".zstd")

_ONLY_WHEN_NAMED: Final = (".json",)
"""Ambiguous endings: most such files are settings, so they are not picked up from a folder."""

_STORE: Final = ("collection.json", "shard")
_MODEL_FILES: Final = frozenset({"config.json", "modules.json"})
_BEIR_CORPUS: Final = "corpus.jsonl"
_BEIR_QUERIES: Final = "queries.jsonl"

_KINDS: Final = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something to read. `path` is None for standard input; `size` in bytes is None for streams."""

    path: Path | None
    kind: Literal["file", "fifo", "stdin"]
    size: int | None
    identity: tuple[int, int] | None

    @property
    def name(self) -> str:
        """As shown to people."""
        return "<stdin>" if self.path is None else str(self.path)


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

    A folder stands for every file below it, however deep, whose name ends in one of `endings` other than
    `.json`. Skipped are hidden files and folders, links to folders, collections of the embedded store,
    subfolders that hold a model (`config.json` or `modules.json`), and the files in `excluded`. A folder with
    `corpus.jsonl` beside `queries.jsonl` (BEIR's layout, compressed or not) stands for the corpus alone. A glob
    (`**` crosses folders) stands for every file it matches except those in `excluded`, and, unless it has `**`,
    for the folders it matches too.

    Raises SourceError for a name that matches nothing or can't be read, and for a file named twice, which
    would duplicate its passages.
    """
    if isinstance(sources, str | Path):
        raise SettingsError(f"sources must be a list of names, got the single name {str(sources)!r}")
    if not sources:
        raise SettingsError("no source was given; name a file, a folder, a glob, or - for standard input")
    selection = _Selection(tuple(endings), frozenset(_identities(excluded)))
    found: list[Found] = []
    seen: dict[tuple[int, int] | None, Found] = {}
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
    if name == STDIN:
        yield Found(path=None, kind="stdin", size=None, identity=None)
    elif glob.has_magic(name) and not os.path.lexists(name):
        yield from _matches(name, selection)
    else:
        yield from _folder_or_file(Path(name), selection)


def _folder_or_file(path: Path, selection: _Selection) -> Iterator[Found]:
    status = _stat(path)
    if stat.S_ISDIR(status.st_mode):
        yield from _folder(path, selection)
    else:
        yield _file(path, status)


def _matches(pattern: str, selection: _Selection) -> Iterator[Found]:
    paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    if "**" in pattern:
        paths = [path for path in paths if not path.is_dir()]
    paths = [path for path in paths if selection.allows(path)]
    if not paths:
        raise SourceError("the pattern matches no file; correct it, or list the files with ls", source=pattern)
    for path in paths:
        yield from _folder_or_file(path, selection)


def _folder(folder: Path, selection: _Selection) -> Iterator[Found]:
    endings = tuple(end for end in selection.endings if end not in _ONLY_WHEN_NAMED)
    visible = (path for path in _visible_files(folder) if _plain_name(path).endswith(endings))
    paths = sorted(path for path in visible if selection.allows(path))
    if not paths:
        raise SourceError(
            f"the folder has no file that ends in {', '.join(endings)} (with or without "
            f"{', '.join(COMPRESSED_ENDINGS)}); name the files, or a glob, with --format",
            source=str(folder),
        )
    for path in paths:
        yield _file(path, _stat(path))


def _visible_files(folder: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> NoReturn:
        raise _unreadable(Path(error.filename), error) from None

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(parent)
        if (_STORE[0] in files and _STORE[1] in folders) or (here != folder and not _MODEL_FILES.isdisjoint(files)):
            folders.clear()
        elif corpus := _beir_corpus(files):
            folders.clear()
            yield here / corpus
        else:
            folders[:] = (name for name in folders if not name.startswith("."))
            yield from (here / name for name in files if not name.startswith("."))


def _beir_corpus(files: Collection[str]) -> str | None:
    """The corpus of a folder in BEIR's layout, whose queries and judgements are not passages."""

    def first(name: str) -> str | None:
        return next((name + end for end in ("", *COMPRESSED_ENDINGS) if name + end in files), None)

    return first(_BEIR_CORPUS) if first(_BEIR_QUERIES) else None


def _identities(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """The identities of the files that exist; the others can't turn up anyway."""
    for path in paths:
        if os.path.exists(path):
            status = _stat(path)
            yield status.st_dev, status.st_ino


def _plain_name(path: Path) -> str:
    """The name in lower case, without a compression ending."""
    name = path.name.lower()
    return next((name.removesuffix(end) for end in COMPRESSED_ENDINGS if name.endswith(end)), name)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise SourceError("no such file or folder; correct the name", source=str(path)) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _file(path: Path, status: os.stat_result) -> Found:
    identity = (status.st_dev, status.st_ino)
    if stat.S_ISREG(status.st_mode):
        return Found(path=path, kind="file", size=status.st_size, identity=identity)
    if stat.S_ISFIFO(status.st_mode):
        return Found(path=path, kind="fifo", size=None, identity=identity)
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
    plain = _plain_name(Path(name))
    return next((end for end in endings if plain.endswith(end)), None)
