"""Defaults for options of the command line: tasb-qdrant.toml, or the table [tool.tasb-qdrant] of pyproject.toml."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.errors import SettingsError

OWN_FILE: Final = "tasb-qdrant.toml"
PROJECT_FILE: Final = "pyproject.toml"
TABLE: Final = "tasb-qdrant"

_SECRET: Final = re.compile(r"api-?key|token|password|secret")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_TEXT: Final = ("a string", _text)
_WHOLE: Final = ("a whole number", _whole)
_NUMBER: Final = ("a number", _number)
_FLAG: Final = ("true or false", _flag)

KEYS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "collection": _TEXT,
    "url": _TEXT,
    "path": _TEXT,
    "transport": _TEXT,
    "grpc-port": _WHOLE,
    "ca-file": _TEXT,
    "client-cert": _TEXT,
    "client-key": _TEXT,
    "timeout": _NUMBER,
    "retry-seconds": _NUMBER,
    "read-timeout": _NUMBER,
    "model": _TEXT,
    "revision": _TEXT,
    "device": _TEXT,
    "precision": _TEXT,
    "normalize": _FLAG,
    "dim": _WHOLE,
    "query-prompt": _TEXT,
    "passage-prompt": _TEXT,
    "id-field": _TEXT,
    "text-field": _TEXT,
    "title-field": _TEXT,
    "limit": _WHOLE,
    "mode": _TEXT,
    "state": _TEXT,
}
"""Options that a file may set: those that mean the same wherever they are given. What runs code, weakens a check or
deletes is for the command line alone: a file comes with a folder that others may have written."""

OF_SEARCH: Final = ("limit", "mode")
"""Those that `search` alone takes: the --limit of `ingest` is another, and would cut every load short."""

_PATHS: Final = ("path", "state", "ca-file", "client-cert", "client-key")


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The file that was found and its values by option, paths made absolute; an empty one if there was none."""

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it sets, as options are spelled."""
        return tuple(name.replace("_", "-") for name in self.values)


def find_settings(start: Path | None = None) -> SettingsFile:
    """The settings of the nearest file, from the folder `start` (by default the working folder) upward. In one folder
    `tasb-qdrant.toml` goes first; a pyproject.toml without the table is passed over.

    Raises SettingsError for a file that can't be read, an unknown key or a value of another type.
    """
    try:
        folder = Path(os.path.abspath("." if start is None else start))
    except FileNotFoundError:  # somebody has deleted it
        return SettingsFile()
    for place in (folder, *folder.parents):
        if (table := _table(place / OWN_FILE)) is not None:
            return SettingsFile(place / OWN_FILE, _checked(table, place / OWN_FILE))
        tool = (_table(place / PROJECT_FILE) or {}).get("tool")
        if isinstance(tool, dict) and isinstance(table := tool.get(TABLE), dict):
            return SettingsFile(place / PROJECT_FILE, _checked(table, place / PROJECT_FILE))
    return SettingsFile()


def _table(file: Path) -> dict[str, Any] | None:
    """The file's content, or None if it isn't there."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # not TOML, or not UTF-8
        if file.name == PROJECT_FILE and isinstance(error, PermissionError):
            return None  # another project's, most likely
        said = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{file} can't be read ({said}); correct it, or move it away") from None


def _checked(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in KEYS:
            raise SettingsError(_unknown(key, name, file))
        kind, fits = KEYS[name]
        if not fits(value):
            raise SettingsError(f"{file}: {key} must be {kind}, got {_shown(value)}; correct it")
        values[name.replace("-", "_")] = _placed(name, value, file.parent)
    return values


def _unknown(key: str, name: str, file: Path) -> str:
    if _SECRET.search(name.lower()):
        return (
            f"{file}: {key} is not accepted in a file, which others may read; remove it, and set the environment "
            "variable QDRANT_API_KEY, or give --api-key-file"
        )
    near = get_close_matches(name, KEYS, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(KEYS)}"
    return f"{file}: there is no key {key!r}; {remedy}"


def _placed(name: str, value: Any, folder: Path) -> Any:
    """Paths are seen from the file, wherever the program runs; so is a model that is a folder there."""
    if name in _PATHS:
        return str(folder / Path(value).expanduser())
    if name == "model" and (value.startswith(("./", "../", "~")) or (folder / value).is_dir()):
        return str(folder / Path(value).expanduser())
    return value


def _shown(value: object) -> str:
    return repr(value)[:100]
