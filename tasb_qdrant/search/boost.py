"""Ranking anew by a formula over the score and the payload: `score * exp_decay(published, scale="30 days")`.

It is worked out here over the best candidates, as Qdrant's formula queries do it over a prefetch (a test compares the
two on every store), so that it is the same for dense, hybrid and grouped searches, equal scores come in the order of
ids, and no field needs a payload index.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from tasb_qdrant.collection.reads.fusion import id_order
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.errors import FilterError, SettingsError
from tasb_qdrant.filters.values import parse_datetime
from tasb_qdrant.records.path import canonical_path, parse_path

DEPTH: Final = 500
"""The best candidates that are ranked anew: with two fields each, a server answers with them in some ms."""

_LONGEST: Final = 2_000
"""Characters of a formula. Python's parser fails on some that are much longer."""

_SCORE: Final = "score"

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "year": 31_557_600}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour|day|week|year)s?", re.IGNORECASE)

_OPERATORS: Final[Mapping[type[ast.AST], Callable[..., float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {
    "abs": abs,
    "sqrt": math.sqrt,
    "ln": math.log,
    "log10": math.log10,
    "exp": math.exp,
    "min": min,
    "max": max,
}
_SEVERAL: Final = ("min", "max")
_DECAYS: Final = ("exp_decay", "gauss_decay", "lin_decay")

_ADVICE: Final = (
    'write numbers, score, names of payload fields, + - * / **, and exp_decay(published, scale="30 days"), '
    'weight(kind, {"news": 2}), field("an odd name"), missing(pages, 1), min, max, abs, sqrt, ln, log10 or exp'
)


@dataclass(frozen=True, slots=True)
class _At:
    """What a formula is worked out with: a candidate, and the time of the search, in seconds."""

    point: ScoredPoint
    now: float


_Term = Callable[[_At], float]


@dataclass(frozen=True)
class Boost:
    """A formula that was checked. `fields` are the payload fields that it reads, in their canonical spelling."""

    text: str
    fields: tuple[str, ...] = field(compare=False)
    _term: _Term = field(compare=False, repr=False)

    @classmethod
    def of(cls, text: object) -> Boost:
        """Raises SettingsError for what is not a formula."""
        if not isinstance(text, str) or not text.strip():
            raise SettingsError(f"boost is a formula, such as 'score * 2', got {repr(text)[:100]}; {_ADVICE}")
        if len(text) > _LONGEST:
            raise SettingsError(f"boost is a formula of at most {_LONGEST} characters, got {len(text)}; shorten it")
        reader = _Reader(text)
        try:
            term = reader.term(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError, OverflowError, ValueError) as error:
            why = error.msg if isinstance(error, SyntaxError) else type(error).__name__
            raise SettingsError(f"boost {text!r} can't be read ({why}); {_ADVICE}") from None
        return cls(text, tuple(dict.fromkeys(reader.fields)), term)

    def ranked(self, points: list[ScoredPoint], *, now: datetime | None = None) -> list[ScoredPoint]:
        """The points with their new scores, best first, in the order of ids where those are equal.

        Raises SettingsError where the formula gives no number, and where a field holds something else.
        """
        seconds = (now or datetime.now(UTC)).timestamp()
        scored = [replace(point, score=self._score(_At(point, seconds))) for point in points]
        return sorted(scored, key=lambda point: (-point.score, id_order(point.id)))

    def _score(self, at: _At) -> float:
        try:
            score = self._term(at)
        except (ZeroDivisionError, OverflowError, RecursionError, ValueError) as error:
            raise SettingsError(
                f"boost {self.text!r} gives no number for the point {at.point.id} ({error}); allow for such values, as "
                "with max(FIELD, 1)"
            ) from None
        if not math.isfinite(score):
            raise SettingsError(f"boost {self.text!r} gives {score} for the point {at.point.id}; keep it finite")
        return score


class _Reader:
    """Makes terms of a formula's syntax tree, and notes its fields."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.fields: list[str] = []

    def term(self, node: ast.expr) -> _Term:
        """Raises SettingsError."""
        match node:
            case ast.Constant(value=bool()):
                raise self._refusal(node)
            case ast.Constant(value=int() | float() as number):
                constant = float(number)
                return lambda _: constant
            case ast.Name(id="score"):
                return lambda at: at.point.score
            case ast.UnaryOp(op, operand) if type(op) in _OPERATORS:
                return self._applied(_OPERATORS[type(op)], [operand])
            case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
                return self._applied(_OPERATORS[type(op)], [left, right])
            case ast.Call(ast.Name(name), arguments, keywords):
                return self._call(node, name, arguments, {word.arg or "": word.value for word in keywords})
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._number(self._path(node), 0.0)
        raise self._refusal(node)

    def _applied(self, function: Callable[..., float], operands: list[ast.expr]) -> _Term:
        terms = [self.term(each) for each in operands]
        return lambda at: function(*(term(at) for term in terms))

    def _call(self, node: ast.Call, name: str, arguments: list[ast.expr], words: Mapping[str, ast.expr]) -> _Term:
        if name in _FUNCTIONS and not words and (len(arguments) == 1 or (name in _SEVERAL and len(arguments) > 1)):
            if name in _SEVERAL and len(arguments) == 1:
                raise self._refusal(node)
            return self._applied(_FUNCTIONS[name], arguments)
        if name == "field" and len(arguments) == 1 and not words:
            return self._number(self._path(node), 0.0)
        if name == "missing" and len(arguments) == 2 and not words:
            return self._number(self._path(arguments[0]), self._constant(arguments[1]))
        if name == "weight" and len(arguments) == 2 and words.keys() <= {"missing"}:
            return self._weight(self._path(arguments[0]), arguments[1], words)
        if name in _DECAYS and len(arguments) == 1 and words.keys() <= {"scale", "target", "midpoint", "missing"}:
            return self._decay(name, self._path(arguments[0]), words)
        raise self._refusal(node)

    def _weight(self, path: str, table: ast.expr, words: Mapping[str, ast.expr]) -> _Term:
        if not isinstance(table, ast.Dict) or not table.keys:
            raise self._refusal(table)
        weights = {self._key(key): self._constant(value) for key, value in zip(table.keys, table.values, strict=True)}
        other = self._constant(words["missing"]) if "missing" in words else 1.0
        segments = parse_path(path)

        def weigh(at: _At) -> float:
            there = [value for value in _values(at.point.payload or {}, segments) if _is_word(value)]
            return max((weights[value] for value in there if value in weights), default=other)

        return weigh

    def _decay(self, name: str, path: str, words: Mapping[str, ast.expr]) -> _Term:
        scale = self._scale(words.get("scale"))
        midpoint = self._constant(words["midpoint"]) if "midpoint" in words else 0.5
        if not 0 < midpoint < 1:
            raise SettingsError(f"boost {self._text!r}: midpoint is between 0 and 1, got {midpoint:g}")
        target = self._target(words.get("target"))
        missing = self._constant(words["missing"]) if "missing" in words else 0.0
        shape = _SHAPES[name]
        read = self._value(path)

        def decay(at: _At) -> float:
            x = read(at)
            if x is None:
                return missing
            if isinstance(x, datetime):
                aim = at.now if target is None else target
                return shape(abs(x.timestamp() - aim) / scale, midpoint)
            return shape(abs(x - (target or 0.0)) / scale, midpoint)

        return decay

    def _number(self, path: str, missing: float) -> _Term:
        read = self._value(path)

        def number(at: _At) -> float:
            value = read(at)
            if isinstance(value, datetime):
                raise self._unfit(path, at, value.isoformat(), "a number; put a date into a decay")
            return missing if value is None else value

        return number

    def _value(self, path: str) -> Callable[[_At], float | datetime | None]:
        """What a point has there: the first value of an array; None for nothing and null."""
        segments = parse_path(path)

        def read(at: _At) -> float | datetime | None:
            value = next(iter(_values(at.point.payload or {}, segments)), None)
            if value is None:
                return None
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            when = parse_datetime(value) if isinstance(value, str) else None
            if when is None:
                raise self._unfit(path, at, repr(value)[:80], "a number or a date")
            return when

        return read

    def _unfit(self, path: str, at: _At, found: str, wanted: str) -> SettingsError:
        return SettingsError(
            f"boost {self._text!r}: {path} of the point {at.point.id} should be {wanted}, and is {found}; use another "
            "field, or weight(FIELD, {VALUE: NUMBER}) for words"
        )

    def _path(self, node: ast.expr) -> str:
        match node:
            case ast.Call(ast.Name("field"), [ast.Constant(value=str() as name)], []):
                written = name
            case ast.Name() | ast.Attribute() | ast.Subscript():
                written = ast.unparse(node)
            case _:
                raise self._refusal(node)
        try:
            path = canonical_path(written)
        except FilterError as error:
            raise SettingsError(f"boost {self._text!r}: {error}") from None
        if path != _SCORE:
            self.fields.append(path)
        return path

    def _constant(self, node: ast.expr) -> float:
        match node:
            case ast.UnaryOp(ast.USub(), ast.Constant(value=int() | float() as number)):
                value = -float(number)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                value = float(number)
            case _:
                raise self._refusal(node)
        if not math.isfinite(value):
            raise self._refusal(node)
        return value

    def _key(self, node: ast.expr | None) -> str | int:
        if isinstance(node, ast.Constant) and _is_word(node.value):
            return node.value  # type: ignore[return-value]  # which is what was just asked
        raise SettingsError(f"boost {self._text!r}: weight takes words and whole numbers, as in {{'news': 2}}")

    def _scale(self, node: ast.expr | None) -> float:
        """Of a decay: a number, or a time in seconds."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if (match := _DURATION.fullmatch(node.value.strip())) is None:
                raise SettingsError(
                    f"boost {self._text!r}: scale is a number, or a time such as '30 days', got {node.value!r}"
                )
            scale = float(match[1]) * _UNITS[match[2].lower()]
        else:
            scale = 1.0 if node is None else self._constant(node)
        if not scale > 0:
            raise SettingsError(f"boost {self._text!r}: scale is more than 0, got {scale:g}")
        return scale

    def _target(self, node: ast.expr | None) -> float | None:
        """Of a decay: a number, or a date in seconds; None for now, or 0."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value == "now":
                return None
            if (when := parse_datetime(node.value)) is None:
                raise SettingsError(
                    f"boost {self._text!r}: target is a number, 'now', or a date such as '2024-01-31', got "
                    f"{node.value!r}"
                )
            return when.timestamp()
        return None if node is None else self._constant(node)

    def _refusal(self, node: ast.AST) -> SettingsError:
        return SettingsError(f"boost {self._text!r}: {ast.unparse(node)!r} isn't understood; {_ADVICE}")


def _is_word(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _values(payload: Mapping[str, Any], segments: Any) -> Iterator[Any]:
    """Every value at the path, those of an array one by one."""
    found: list[Any] = [payload]
    for segment in segments:
        found = [item[segment.name] for item in found if isinstance(item, Mapping) and segment.name in item]
        for element in segment.elements:
            lists = [item for item in found if isinstance(item, list)]
            found = [each for item in lists for each in (item if element is None else item[element : element + 1])]
    for item in found:
        yield from item if isinstance(item, list) else [item]


def _exponential(distance: float, midpoint: float) -> float:
    return float(midpoint**distance)


def _gaussian(distance: float, midpoint: float) -> float:
    return float(midpoint ** (distance * distance))


def _linear(distance: float, midpoint: float) -> float:
    return max(0.0, 1.0 - (1.0 - midpoint) * distance)


_SHAPES: Final = dict(zip(_DECAYS, (_exponential, _gaussian, _linear), strict=True))
"""1 at the target, the midpoint at one scale from it."""
