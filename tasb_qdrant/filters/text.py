"""`year >= 2020 and lang in ["en", "de"]`: filters read from text."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tasb_qdrant.errors import FilterError, FilterSyntaxError
from tasb_qdrant.filters.builder import CountOf, F, all_of, any_of, at_least
from tasb_qdrant.filters.conditions import Compare, Equals
from tasb_qdrant.filters.grammar import GRAMMAR, WORDS
from tasb_qdrant.filters.literals import SYNTAX_LIMIT, read_count, read_date, read_number, read_string
from tasb_qdrant.filters.nodes import Filter

if TYPE_CHECKING:  # lark takes 40 ms to import, and most programs never parse a filter
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

_Value: TypeAlias = str | bool | int | float | datetime

_Ring: TypeAlias = tuple[tuple[float, float], ...]

_FOUND: Final = re.compile(r"""[\w\-.]+|&&|\|\||[=!<>~]+|["'].{0,20}|.""", re.DOTALL)


def parse_filter(text: str) -> Filter:
    """The filter that a text describes.

    Raises FilterSyntaxError with the column if it can't be parsed, and FilterError if it can but is not a
    valid filter, or is longer than 64 KiB.
    """
    if not isinstance(text, str):
        raise FilterError(f"a filter must be text, got {type(text).__name__}")
    if len(text.encode(errors="surrogatepass")) > SYNTAX_LIMIT:
        raise FilterError(f"a filter is at most {SYNTAX_LIMIT // 1024} KiB of text; build a longer one with F")
    from lark.exceptions import UnexpectedInput

    try:
        parsed = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(text, error) from None
    except FilterSyntaxError as error:  # from a literal, which knows its column but not the text around it
        raise FilterSyntaxError(text, column=error.column, expected=error.expected, found=error.found) from None
    if not isinstance(parsed, Filter):
        raise FilterError(f"{text!r} is not a filter")
    return parsed


@functools.cache
def _parser() -> Lark:
    from lark import Lark

    # LALR with the builder inside: no tree and no recursion, so no text can overflow Python's stack.
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False, transformer=_builder())


def _builder() -> Any:
    from lark import Transformer, v_args

    @v_args(inline=True)
    class Builder(Transformer["Token", Filter]):
        """What each rule of the grammar builds."""

        def any_of(self, *filters: Filter) -> Filter:
            return any_of(filters)

        def all_of(self, *filters: Filter) -> Filter:
            return all_of(filters)

        def negate(self, operand: Filter) -> Filter:
            return ~operand

        def same(self, operand: Filter) -> Filter:
            return operand

        def compare(self, field: Token, order: Token, value: _Value) -> Filter:
            return _compare(F(field), str(order), value)

        def one_of(self, field: Token, values: list[_Value]) -> Filter:
            return F(field).in_(values)

        def none_of(self, field: Token, values: Sequence[_Value] = ()) -> Filter:
            return F(field).not_in(values)

        def between(self, field: Token, low: Any, high: Any) -> Filter:
            return F(field).between(low, high)

        def exists(self, field: Token) -> Filter:
            return F(field).exists()

        def is_null(self, field: Token) -> Filter:
            return F(field).is_null()

        def is_not_null(self, field: Token) -> Filter:
            return ~F(field).is_null()

        def is_empty(self, field: Token) -> Filter:
            return F(field).is_empty()

        def is_not_empty(self, field: Token) -> Filter:
            return ~F(field).is_empty()

        def contains(self, field: Token, text: Token) -> Filter:
            return F(field).contains(read_string(text))

        def prefix(self, field: Token, text: Token) -> Filter:
            return F(field).prefix(read_string(text))

        def substring(self, field: Token, text: Token) -> Filter:
            return F(field).substring(read_string(text))

        def within(self, field: Token, distance: Token, unit: Token, place: tuple[float, float]) -> Filter:
            length = read_number(distance)
            if unit.lower() == "km":
                return F(field).within(km=length, of=place)
            return F(field).within(m=length, of=place)

        def in_box(self, field: Token, first: tuple[float, float], last: tuple[float, float]) -> Filter:
            return F(field).in_box(top_left=first, bottom_right=last)

        def contains_any(self, field: Token, text: Token) -> Filter:
            return F(field).contains_any(read_string(text))

        def contains_phrase(self, field: Token, text: Token) -> Filter:
            return F(field).contains_phrase(read_string(text))

        def in_polygon(self, field: Token, ring: _Ring, *holes: _Ring) -> Filter:
            return F(field).in_polygon(ring, holes=holes)

        def any_element(self, field: Token, operand: Filter) -> Filter:
            return F(field).any(operand)

        def count(self, field: Token, order: Token, number: Token) -> Filter:
            return _compare_count(F(field).count(), str(order), read_count(number))

        def count_between(self, field: Token, low: Token, high: Token) -> Filter:
            return F(field).count().between(read_count(low), read_count(high))

        def ids(self, *ids: Token) -> Filter:
            return F.ids([read_string(each) for each in ids])

        def at_least(self, number: Token, *filters: Filter) -> Filter:
            return at_least(read_count(number), *filters)

        def ring(self, *points: tuple[float, float]) -> _Ring:
            return points

        def list(self, *values: _Value) -> list[_Value]:
            return [*values]

        def point(self, lat: Token, lon: Token) -> tuple[float, float]:
            return read_number(lat), read_number(lon)

        def value(self, token: Token) -> _Value:
            return _literal(token)

    return Builder()


def _literal(token: Token) -> _Value:
    match token.type:
        case "STRING":
            return read_string(token)
        case "DATE":
            return read_date(token)
        case "NUMBER":
            return read_number(token)
    return token.lower() == "true"


def _compare(field: F, order: str, value: Any) -> Filter:
    match order:
        case "<" | "<=" | ">" | ">=":
            return Compare(field.name, order, value)
        case "!=":
            return ~Equals(field.name, value)
    return Equals(field.name, value)


def _compare_count(count: CountOf, order: str, number: int) -> Filter:
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "!=": operator.ne}
    made: Filter = compare.get(order, operator.eq)(count, number)
    return made


def _explained(text: str, error: UnexpectedInput) -> FilterSyntaxError:
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    position: Any = error.pos_in_stream  # an int; lark declares it None
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    at: int = len(text.rstrip()) if ended else position
    rest = text[at:].strip()
    if rest.startswith(('"', "'", "`")) and rest[0] not in rest[1:]:
        return FilterSyntaxError(text, column=len(text) + 1, expected=f"a closing {rest[0]}", found="the end")
    # The error itself lists all that the parser's state may see, some of which can't follow this text.
    reading = _parser().parse_interactive(text[:at])
    try:
        reading.exhaust_lexer()
    except UnexpectedInput as earlier:  # "is." begins a longer name, and cut to "is" it is a keyword
        return _explained(text, earlier)
    accepted = set(reading.accepts())  # type: ignore[no-untyped-call]  # lark has no types here
    return FilterSyntaxError(text, column=at + 1, expected=_phrase(accepted), found=_found(rest, accepted))


def _phrase(accepted: set[str]) -> str:
    phrases: list[str] = []
    if {"FIELD", "LPAR"} <= accepted:
        accepted = accepted - {"LPAR", "_NOT"}
    for terminals, words in WORDS:
        if terminals <= accepted:
            phrases.append(words)
            accepted = accepted - terminals - ({"TRUE", "FALSE"} if "DATE" in terminals else set())
            if "CMP" in terminals:
                accepted = accepted - {"_NOT"}
    return " or ".join(phrases) or "something else"


def _found(rest: str, accepted: set[str]) -> str:
    match = _FOUND.match(rest)
    if not match:
        return "the end"
    word = match.group()
    known = {"&&": "and", "||": "or", "!": "not", "~": "not", "<>": "!=", "=>": ">=", "=<": "<=", "===": "="}
    if word in known:
        return f"{word} (write {known[word]})"
    if word.lower() == "null" and "STRING" in accepted:
        return "null (write FIELD is null)"
    if word[0].isalpha():
        quote = ' (text stands in quotes: "' + word + '")' if "STRING" in accepted else ""
        return f"the word {word}{quote}"
    return word if len(word) < 20 else word[:20] + "…"
