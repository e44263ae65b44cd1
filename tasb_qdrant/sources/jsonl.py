"""JSON Lines: one object per line, as in BEIR's corpora."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any, Final

import orjson

from tasb_qdrant.errors import InvalidPassageError, SourceError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.fields import FieldPlan, SourceFields, plan_fields
from tasb_qdrant.sources.lines import TOO_LONG, line_blocks, undecodable
from tasb_qdrant.sources.streams import ByteStream, Head

_SAMPLES: Final = 100

# Anything deeper is refused as a payload, even after BEIR's metadata has been lifted by one level.
_LOOKED_AT_DEPTH: Final = MAX_PAYLOAD_DEPTH + 1


def plan_jsonl(head: Head, fields: SourceFields, *, source: str) -> FieldPlan | None:
    """Which fields hold what, judging by the first records; None if none of them can be read.

    Raises MissingFieldError, and SourceError for a single JSON array of all the records.
    """
    lines = head.data.removeprefix(BOM_UTF8).lstrip()
    if lines.startswith(b"["):
        raise SourceError(
            "a JSON array, expected one object per line; convert it with: jq -c '.[]' FILE > FILE.jsonl",
            source=source,
        )
    samples: list[dict[str, Any]] = []
    for line in head.lines():
        try:
            record = orjson.loads(line.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError:
            continue
        if type(record) is dict:
            samples.append(record)
        if len(samples) == _SAMPLES:
            break
    return plan_fields(samples, fields, source=source, noun="field") if samples else None


def read_jsonl(stream: ByteStream, cursor: Cursor, plan: FieldPlan | None, fields: SourceFields) -> Iterator[Passage]:
    """The passages in order. Blank lines are skipped.

    Without a plan, one is made from the first record, which can raise MissingFieldError.
    """
    number = 0
    for block in line_blocks(stream, source=cursor.source):
        for raw in block:
            number += 1
            if not raw:
                if raw is None:
                    cursor.reject(number, TOO_LONG)
                continue
            try:
                record = orjson.loads(raw)
                if type(record) is not dict:
                    cursor.reject(number, f"expected a JSON object, got {_kind(record)}")
                    continue
                if _may_exceed_int64(record):
                    record = _exact(raw)
                plan = plan or plan_fields([record], fields, source=cursor.source, noun="field")
                passage = plan.passage(record)
            except InvalidPassageError as error:
                cursor.reject(number, error.reason)
                continue
            except ValueError as error:
                if not raw.isspace():
                    cursor.reject(number, _why(raw, error))
                continue
            cursor.line = number
            yield passage


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


def _exact(raw: bytes) -> Any:
    """The record with its integers kept exact. Raises InvalidPassageError, ValueError."""
    try:
        return json.loads(raw)
    except RecursionError:  # orjson reads 1024 levels, the standard library fewer on some versions
        raise InvalidPassageError(f"the record is nested deeper than {MAX_PAYLOAD_DEPTH}", field="payload") from None


def _why(raw: bytes, error: ValueError) -> str:
    if reason := undecodable(raw):
        return reason
    column = error.colno if isinstance(error, json.JSONDecodeError) else 1
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return f"malformed JSON at column {column}: {message}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")
