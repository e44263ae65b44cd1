"""A model's JSON files, read with errors that name them, and the modules that sentence-transformers chains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.errors import CorruptModelError, ModelError, ModelNotFoundError
from tasb_qdrant.records.json_values import is_deeper

_LONGEST: Final = 2**26
"""Bytes: the largest tokenizers have half as many."""

DEEPEST: Final = 100
"""Lists and objects within each other, far beyond any model's: what Python shows of deeper ones may never end."""


@dataclass(frozen=True, slots=True)
class Module:
    """One of the modules that sentence-transformers chains: its class name and its folder."""

    kind: str
    folder: Path


def read_modules(folder: Path) -> tuple[Module, ...]:
    """What modules.json in `folder` chains. Raises CorruptModelError, and ModelError for a class of the model's own."""
    try:
        parts = [(str(part["type"]), str(part["path"])) for part in read_json(folder / "modules.json")]
    except (TypeError, KeyError) as error:
        raise CorruptModelError(
            f"{folder / 'modules.json'} must list modules with type and path; get the file again"
        ) from error
    for kind, _ in parts:
        # A class of the model's own may have the name of one of the library's, and do something else.
        if "." in kind and not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"{folder / 'modules.json'} chains {kind}, a class that comes with the model; code of a model is not "
                "run here, and only sentence-transformers' own modules are supported; choose another --model"
            )
    return tuple(Module(kind.rpartition(".")[2], _inside(folder, path)) for kind, path in parts)


def _inside(folder: Path, path: str) -> Path:
    """`folder / path`; a downloaded file must not point outside its folder."""
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts or not is_file_name(path):
        raise CorruptModelError(f"{folder / 'modules.json'} points outside the folder ({path!r}); don't use this model")
    return folder / path


def is_file_name(text: str) -> bool:
    """Whether a file may have this name: without a NUL and half of a surrogate pair."""
    return "\0" not in text and text.encode(errors="replace").decode() == text


def read_optional(path: Path) -> dict[str, Any]:
    """The JSON object in a file, {} if there is none. Raises ModelNotFoundError, CorruptModelError."""
    return read_object(path) if path.is_file() else {}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelNotFoundError, CorruptModelError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise CorruptModelError(f"{path} must hold a JSON object, found {type(value).__name__}; get it again")
    return value


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ModelNotFoundError, CorruptModelError."""
    try:
        if path.stat().st_size > _LONGEST:
            raise CorruptModelError(f"{path} has more than {_LONGEST:,} bytes, which no model needs; get it again")
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path.parent} has no {path.name}; complete the folder") from error
    except (ValueError, RecursionError) as error:  # ValueError: malformed JSON, or text that isn't UTF-8
        raise CorruptModelError(f"{path} is not valid JSON ({error}); get the file again") from error
    except OSError as error:
        raise ModelNotFoundError(f"{path} can't be read ({error.strerror}); check its permissions") from error
    if is_deeper([found], DEEPEST):
        raise CorruptModelError(
            f"{path} has more than {DEEPEST} lists and objects within each other, which no model needs; get it again"
        )
    return found
