"""Literals of the text form: strings, numbers and dates, read and written."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tasb_qdrant.errors import FilterSyntaxError
from tasb_qdrant.filters.values import Scalar, parse_datetime

if TYPE_CHECKING:
    from lark import Token

SYNTAX_LIMIT: Final = 64 * 1024
"""Maximum bytes of a filter's text."""

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.|$)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def read_string(token: Token) -> str:
    """The value of a quoted string with JSON escapes. Raises FilterSyntaxError at an invalid one."""

    def plain(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _PLAIN:
            raise _wrong(
                token,
                1 + match.start(),
                r"a JSON escape (\n \t \r \b \f \\ \/ \" \' \u0041)",
                match[0],
            )
        return _PLAIN[escape]

    text = _ESCAPE.sub(plain, str(token)[1:-1])
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def read_number(token: Token) -> int | float:
    """An int if there is neither a decimal point nor an exponent, else a finite float."""
    text = str(token)
    if not any(character in text for character in ".eE"):
        if len(text) > 20:  # a 64-bit integer has 19 digits, and int() is quadratic
            raise _wrong(token, 0, "a 64-bit integer", "a longer one")
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise _wrong(token, 0, "a finite number", text)
    return number


def read_count(token: Token) -> int:
    """A whole number, 0 or more."""
    number = read_number(token)
    if not isinstance(number, int) or number < 0:
        raise _wrong(token, 0, "a whole number, 0 or more", str(token))
    return number


def read_date(token: Token) -> datetime:
    """The datetime in UTC."""
    when = parse_datetime(str(token))
    if when is None:
        raise _wrong(token, 0, "a date that exists, in the years 1 to 9999", str(token))
    return when


def write_literal(value: Scalar) -> str:
    """As the text form writes it: strings in double quotes, datetimes in UTC and without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat()
        return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else text + "Z"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _wrong(token: Token, offset: int, expected: str, found: str) -> FilterSyntaxError:
    # The parser adds the whole text: a token knows only its position.
    return FilterSyntaxError("", column=(token.start_pos or 0) + offset + 1, expected=expected, found=found)
