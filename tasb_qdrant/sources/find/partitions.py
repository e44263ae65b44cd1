"""Folders named `year=2000/lang=en`, as Hive, Spark and their kin lay tables out: fields of all that lies below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import unquote

from tasb_qdrant.errors import InvalidPassageError

Partition = Mapping[str, int | str | None]
"""Names and values that the folders of one file give to each of its records."""

NULL: Final = "__HIVE_DEFAULT_PARTITION__"

_FOLDER: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def written_partition(path: PurePath) -> dict[str, str | None]:
    """The names and values of the folders right above the file, as far as each is `name=value`; null is None."""
    found: list[tuple[str, str | None]] = []
    for folder in path.parents:
        if not (match := _FOLDER.fullmatch(folder.name)):
            break
        value = match[2]
        found.append((unquote(match[1]), None if value == NULL else unquote(value)))
    return dict(reversed(found))


def typed_partitions(written: Sequence[Mapping[str, str | None]]) -> list[Partition]:
    """The partitions of all files, each name of one type over them all: integers where every value is one of 32
    bits, and strings otherwise, as pyarrow.dataset decides (`month=01` is 1)."""
    numbers = {name for one in written for name in one}
    for one in written:
        numbers -= {name for name, value in one.items() if value is not None and not _is_int32(value)}
    return [{name: _typed(value, name in numbers) for name, value in one.items()} for one in written]


def merge_partition(record: dict[str, Any], partition: Partition) -> None:
    """The folders' fields into the record. Raises InvalidPassageError where the record says otherwise."""
    for name, value in partition.items():
        there = record.get(name)
        if there is None:
            record[name] = value
        elif value is None or (there != value and str(there).lower() != str(value).lower()):
            raise InvalidPassageError(contradiction(name, there, value), field="payload")


def contradiction(name: str, there: object, value: object) -> str:
    """For people."""
    said = "null" if value is None else repr(value)
    return (
        f"field {name!r} is {there!r} in the record and {said} in its folder's name; correct one of them, or leave the "
        f"field out with --drop {name}"
    )


def _is_int32(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None and -(2**31) <= int(value) < 2**31


def _typed(value: str | None, number: bool) -> int | str | None:
    return int(value) if number and value is not None else value
