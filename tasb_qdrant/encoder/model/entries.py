"""Checks of the entries of a model's JSON files. JSON types are distinct: 1 is neither true nor 1.0."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasb_qdrant.encoder.model.json_files import DEEPEST
from tasb_qdrant.records.json_values import is_deeper

Check = Callable[[object], bool]


class UnusualModelError(Exception):
    """Something about a model's files that is not known here, so transformers must read them."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UnusualModelError, also if it can't be read."""
    try:
        # As transformers reads it, which takes no byte order mark.
        found = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusualModelError(f"{path}: {error}") from error
    if not isinstance(found, dict) or is_deeper([found], DEEPEST):
        raise UnusualModelError(path.name)
    return found


def check_entries(entries: Mapping[str, Any], known: Mapping[str, Check]) -> None:
    """Raise UnusualModelError for an entry that isn't `known`, or has an unusual value."""
    for name, value in entries.items():
        check = known.get(name)
        if check is None or not check(value):
            raise UnusualModelError(name)


def size(value: object) -> bool:
    return type(value) is int and value > 0


def share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]  # just found to be a number


def one_float(value: object) -> bool:
    return type(value) is float and 0 < value < 1


def count(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def flag(value: object) -> bool:
    return type(value) is bool


def text(value: object) -> bool:
    return type(value) is str


def one_of(*values: object) -> Check:
    return lambda value: any(type(value) is type(known) and value == known for known in values)


def texts(value: object) -> bool:
    return isinstance(value, list) and all(map(text, value))


def labels(value: object) -> bool:
    return isinstance(value, dict) and all(key.isdecimal() and text(label) for key, label in value.items())


def label_ids(value: object) -> bool:
    return isinstance(value, dict) and all(type(label) is int for label in value.values())
