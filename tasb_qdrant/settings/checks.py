"""The check of an option where it is given: what was expected, what was found, and what to do.

Python takes True for 1, `nan >= 1` for false, and "5" for something that fails deep inside a client; one store takes
NaN for no threshold, another for one that nothing reaches. NumPy's scalars count as the numbers that they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final, TypeVar

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records.json_values import plain_scalar

T = TypeVar("T", bound=str)

MAX_COUNT: Final = 2**31 - 1
"""The largest limit, offset and hnsw_ef that both stores accept over every transport."""

MAX_SECONDS: Final = 86_400
"""A day: longer timeouts are mistakes, and some overflow in gRPC."""


def whole(name: str, value: object, *, least: int, most: int = MAX_COUNT) -> int:
    """The whole number, from `least` to `most`. Raises SettingsError."""
    plain = plain_scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, int) or not least <= plain <= most:
        raise _refused(name, f"must be a whole number, at least {least} and at most {most}", value)
    return int(plain)


def check_whole_number(name: str, value: object) -> int:
    """The whole number, 0 or more. Raises SettingsError."""
    plain = plain_scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, int) or plain < 0:
        raise _refused(name, "must be a whole number, 0 or more", value)
    return plain


def number(name: str, value: object, expected: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    """The finite number, from `least` to `most`, as `expected` says in words. Raises SettingsError."""
    plain = plain_scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not least <= plain <= most:
        raise _refused(name, expected, value)
    if not _is_finite(plain):
        raise _refused(name, expected, value)
    return plain


def seconds(name: str, value: object) -> float:
    """The seconds of a timeout: more than none, and a day at most. Raises SettingsError."""
    expected = f"must be more than 0 seconds and at most a day ({MAX_SECONDS})"
    found = number(name, value, expected, least=0, most=MAX_SECONDS)
    if not found:
        raise _refused(name, expected, value)
    return found


def flag(name: str, value: object) -> bool:
    """True or False, and nothing that Python only takes for one. Raises SettingsError."""
    plain = plain_scalar(value)
    if not isinstance(plain, bool):
        raise _refused(name, "must be True or False", value)
    return plain


def choice(name: str, value: object, known: Collection[T]) -> T:
    """One of the words known. Raises SettingsError."""
    found = next((each for each in known if isinstance(value, str) and each == value), None)
    if found is None:
        raise SettingsError(f"{name} is one of {', '.join(known)}; got {_shown(value)}")
    return found


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _refused(name: str, expected: str, value: object) -> SettingsError:
    return SettingsError(f"{name} {expected}, got {_shown(value)}{_remedy(name, value)}")


def _remedy(name: str, value: object) -> str:
    if value is None:
        return f"; leave {name} out for its default"
    if isinstance(value, str) and _reads_as_number(value):
        return f"; write {value} without quotes"
    return ""


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shown(value: object) -> str:
    return repr(value)[:100]
