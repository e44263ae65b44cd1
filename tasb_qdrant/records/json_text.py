"""Values as JSON that every program can read, and that a terminal shows as it is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tasb_qdrant.printable import STEERING

_SURROGATE: Final = re.compile(r"\\u(dc[89a-f][0-9a-f])")
"""How `unicode_text` spells a byte of a file's name that isn't UTF-8."""


def json_bytes(value: Any, *, option: int | None = None) -> bytes:
    r"""The value as orjson writes it, but that characters which steer a terminal are escapes.

    Half of a surrogate pair has no JSON that every program takes: it is written as `unicode_text` has it.
    """
    try:
        raw = orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        raw = orjson.dumps(_without_surrogates(value), option=option)
    if raw.isascii() and b"\x7f" not in raw:
        return raw  # the controls below 32 are escapes in any JSON
    return STEERING.sub(_escape, raw.decode()).encode()


def unicode_text(text: str) -> str:
    r"""The text as every program takes it: half of a surrogate pair, Python's for a byte of a file's name that isn't
    UTF-8, becomes the six characters `\udcff`, which `file_name` reads."""
    return text.encode(errors="backslashreplace").decode()


def file_name(text: str) -> str:
    """The name of a file as Python has it, from what `unicode_text` made of it."""
    return _SURROGATE.sub(lambda found: chr(int(found[1], 16)), text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character == "\n" else f"\\u{ord(character):04x}"  # line breaks are the layout's


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return unicode_text(value)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
