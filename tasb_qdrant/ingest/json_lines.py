"""A JSONL file that we write, for people and other programs: an object a line, all with the same keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records.json_text import json_bytes
from tasb_qdrant.sources import SourceFile

_LONGEST_LINE: Final = 2**20


@dataclass(frozen=True, slots=True)
class LineKind:
    """What the lines of a file are: `one` and `many` name them in messages, `option` names the file."""

    option: str
    one: str
    many: str
    keys: tuple[str, ...]


class JsonLines:
    """A JSONL file that is written from its start, and that never overwrites a source or somebody else's file.

    With `staged`, the lines are written beside the file, and replace it as a whole in `publish`. Whatever goes wrong
    is a SettingsError.
    """

    def __init__(self, path: Path, kind: LineKind, *, staged: bool = False) -> None:
        self.path = path
        self.kind = kind
        self._staged = path.with_name(f".{path.name}.new") if staged else None
        self._file: BinaryIO | None = None

    @property
    def is_own(self) -> bool:
        """Whether an earlier run has written it: it is there, and empty or made of such lines."""
        if not self.path.is_file():
            return False
        try:
            with self.path.open("rb") as file:
                first = file.readline(_LONGEST_LINE)
            return not first or set(orjson.loads(first)) == set(self.kind.keys)
        except (OSError, ValueError, TypeError):
            return False

    @property
    def own_path(self) -> Path | None:
        """The file, unless it holds something else: a source folder that contains it doesn't stand for it."""
        return None if self.path.exists() and not self.is_own else self.path

    @property
    def is_open(self) -> bool:
        """Whether lines can be written."""
        return self._file is not None

    def create(self, *, sources: Iterable[SourceFile] = ()) -> None:
        """Make the file, empty, unless it is one of the `sources` or holds anything but such lines."""
        if self._staged is None:
            self._check_replaceable(sources)
        try:
            self._file = (self._staged or self.path).open("wb")
        except (OSError, ValueError) as error:  # a ValueError for a NUL in the name
            raise self._unwritable(error) from error

    def write(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Add the lines; a file that was never made takes none. `flush` puts them where other programs see them."""
        if self._file is None:
            return
        try:
            self._file.writelines(json_bytes(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        except OSError as error:
            raise self._unwritable(error) from error

    def flush(self) -> None:
        """Hand what was written to the system: the file is whole then, even if this process is killed."""
        if self._file is None:
            return
        try:
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def publish(self) -> None:
        """Put the staged lines in the place of the file, once the disk has them."""
        if self._file is None or self._staged is None:
            return
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._staged.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the file; staged lines that weren't published are dropped."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            if self._staged is not None:
                self._staged.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The lines of an existing file, each with its number, from 1."""
        try:
            lines = self.path.read_bytes().splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self.path}: can't be read ({getattr(error, 'strerror', None) or error}); name a file that "
                f"{self.kind.option} made"
            ) from error
        for number, line in enumerate(lines, 1):
            try:
                parsed = orjson.loads(line)
            except orjson.JSONDecodeError:
                parsed = None
            if not isinstance(parsed, dict):
                raise self.unexpected(number)
            yield number, parsed

    def unexpected(self, number: int) -> SettingsError:
        """The error for a line that is something else."""
        return SettingsError(
            f"{self.path}:{number}: expected {self.kind.one} ({', '.join(self.kind.keys)}); "
            f"name a file that {self.kind.option} made"
        )

    def _check_replaceable(self, sources: Iterable[SourceFile]) -> None:
        named = f"{self.kind.option} {self.path}"
        if any(_is_same_file(self.path, source) for source in sources):
            raise SettingsError(f"{named} is a source, and would be overwritten; name another file")
        if self.path.is_file() and not self.is_own:
            raise SettingsError(
                f"{named} is there, and holds something else than {self.kind.many}, which would be overwritten; "
                "name another file"
            )

    def _unwritable(self, error: OSError | ValueError) -> SettingsError:
        return SettingsError(
            f"{self.kind.option} {self.path}: can't be written ({getattr(error, 'strerror', None) or error}); name "
            "another file"
        )


def _is_same_file(path: Path, source: SourceFile) -> bool:
    return isinstance(source, Path) and path.exists() and source.exists() and path.samefile(source)
