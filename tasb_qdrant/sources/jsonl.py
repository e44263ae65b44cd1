"""JSON Lines: one object per line, as in BEIR's corpora."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.input.lines import TOO_LONG, line_blocks, undecodable
from tasb_qdrant.sources.input.streams import Head
from tasb_qdrant.sources.record.choice import Choice
from tasb_qdrant.sources.record.fields import SourceFields
from tasb_qdrant.sources.record.plan import FieldPlan, Origin, plan_fields
from tasb_qdrant.sources.record.typed import TypedFields

_SAMPLES: Final = 100

# Anything deeper is refused as a payload, even after BEIR's metadata has been lifted by one level.
_LOOKED_AT_DEPTH: Final = MAX_PAYLOAD_DEPTH + 1


Plan = Callable[[list[dict[str, Any]]], FieldPlan]
"""Makes the plan of a source of its first records."""


def planner(fields: SourceFields, *, origin: Origin, choice: Choice | None, typed: TypedFields | None = None) -> Plan:
    """Plans by what is asked for. The plan raises MissingFieldError."""
    return lambda samples: plan_fields(samples, fields, origin=origin, choice=choice, typed=typed, noun="field")


def plan_jsonl(head: Head, plan: Plan) -> FieldPlan | None:
    """Which fields hold what, judging by the first records; None if none of them can be read."""
    samples: list[dict[str, Any]] = []
    for line in head.lines():
        try:
            record = _loads(line.removeprefix(BOM_UTF8))
        except (ValueError, InvalidPassageError):
            continue
        if type(record) is dict:
            samples.append(record)
        if len(samples) == _SAMPLES:
            break
    return plan(samples) if samples else None


def read_jsonl(
    stream: Iterator[bytes], cursor: Cursor, planned: FieldPlan | None, plan_for: Plan, *, before: int = 0
) -> Iterator[Passage]:
    """The passages of the lines after the first `before`, in order. Blank lines are skipped.

    Without a plan, one is made from the first record, which can raise MissingFieldError.
    """
    plan = planned
    number = before
    for block in line_blocks(stream, source=cursor.source):
        for raw in block:
            number += 1
            if not raw:
                if raw is None:
                    cursor.reject(number, TOO_LONG)
                continue
            try:
                record = _loads(raw)
                if type(record) is not dict:
                    cursor.reject(number, f"expected a JSON object, got {kind_of(record)}")
                    continue
                if _may_exceed_int64(record):
                    record = exact(raw)
                plan = plan or plan_for([record])
                passage = plan.passage(record, cursor, number)
            except InvalidPassageError as error:
                cursor.reject(number, error.reason)
                continue
            except ValueError as error:
                if not raw.isspace():
                    cursor.reject(number, _why(raw, error))
                continue
            cursor.line = number
            yield passage


def _loads(raw: bytes) -> Any:
    """The line's value. Raises ValueError, InvalidPassageError.

    NaN and Infinity are no JSON, but what Python's own json writes for them: null, once they are counted.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if b"NaN" in raw or b"Infinity" in raw:
            return exact(raw)
        raise


def _may_exceed_int64(value: dict[str, Any]) -> bool:
    """Whether some integer may not fit 64 bits.

    orjson turns such an integer into a float, which changes it. The standard library's slower parser keeps it, so
    that an id stays what it was, and a payload is refused rather than changed.
    """
    return any(_exceeds_int64(item, _LOOKED_AT_DEPTH) for item in value.values())


def _exceeds_int64(value: object, depth: int) -> bool:
    if type(value) is float:
        return not -(2**63) < value < 2**63
    if depth == 0:
        return False
    if type(value) is dict:
        return any(_exceeds_int64(item, depth - 1) for item in value.values())
    if type(value) is list:
        return any(_exceeds_int64(item, depth - 1) for item in value)
    return False


def exact(raw: bytes) -> Any:
    """The record with its integers kept exact, and NaN and Infinity. Raises InvalidPassageError, ValueError."""
    try:
        return json.loads(raw, parse_float=finite_float)
    except RecursionError:  # orjson reads 1024 levels, the standard library fewer on some versions
        raise InvalidPassageError(f"the record is nested deeper than {MAX_PAYLOAD_DEPTH}", field="payload") from None


def finite_float(written: str) -> float:
    """A number that a float can hold. Raises ValueError: 1e400 is a number, and not what null would stand for."""
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"the number {written} doesn't fit a float")
    return value


def _why(raw: bytes, error: ValueError) -> str:
    if reason := undecodable(raw):
        return reason
    column = error.colno if isinstance(error, json.JSONDecodeError) else 1
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"malformed JSON at column {column}: {message}"


def kind_of(value: object) -> str:
    """For people."""
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")
