"""Doubles in JSON as Qdrant's servers read them: they aren't always the nearest to what was written.

A server reads the digits as one integer, makes that a double, and multiplies or divides it by a power of ten
(serde_json without its `float_roundtrip`; 1.16.3 and 1.17.0 alike). Of 330 random doubles that were written as usual,
it took 14 for a neighbour. So the digits are chosen here that it takes for the double that is meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

_FEWEST_DIGITS: Final = 16
"""Fewer are a double by themselves."""

_MOST_DIGITS: Final = 20
"""More are left out by the server: they don't fit in 64 bits."""

_NEAR: Final = 600
"""How far the digits may be off: enough for each of thousands of random doubles."""

_POWERS: Final = tuple(float(f"1e{exponent}") for exponent in range(309))


def exactly(value: Any) -> Any:
    """A part of a filter, or a number, with doubles that the server reads exactly."""
    if isinstance(value, dict):
        return {name: exactly(each) for name, each in value.items()}
    if isinstance(value, list):  # of one kind; a list of matching values can be long, and has no doubles
        return [exactly(each) for each in value] if value and isinstance(value[0], dict | list) else value
    return _written(value) if isinstance(value, float) else value


@lru_cache(4_096)
def _written(value: float) -> Any:
    if not math.isfinite(value) or value == 0:
        return value
    size = abs(value)
    if size in _read(*_parts(repr(size))):
        return value
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        number, exponent = _parts(f"{size:.{digits - 1}e}")
        for near in sorted(range(number - _NEAR, number + _NEAR + 1), key=lambda one: abs(one - number)):
            if near < 2**64 and size in _read(near, exponent):
                return orjson.Fragment(f"{'-' if value < 0 else ''}{near}e{exponent}".encode())
    return value


def _parts(text: str) -> tuple[int, int]:
    """The digits of a number that is written so, and the power of ten that goes with them."""
    _, digits, exponent = Decimal(text).as_tuple()
    return int("".join(map(str, digits))), int(exponent)


def _read(number: int, exponent: int) -> Iterator[float]:
    """What the server makes of number * 10**exponent; nothing where that takes it more than one step."""
    if abs(exponent) < len(_POWERS):
        yield float(number) * _POWERS[exponent] if exponent >= 0 else float(number) / _POWERS[-exponent]
