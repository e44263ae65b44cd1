"""Queries from a file or a stream: a line each, alone, with an id before it, or as a JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tasb_qdrant.errors import SourceError

MAX_QUERY_CHARS: Final = 100_000
"""A longer line isn't a query: the model reads a few hundred words of it."""

_ID_NAMES: Final = ("_id", "id", "qid", "query_id")
_TEXT_NAMES: Final = ("text", "query", "question")


@dataclass(frozen=True, slots=True)
class Query:
    """A query and its id: that of its line, where the source gives it none."""

    id: str
    text: str


def read_queries(lines: Iterable[str], *, source: str) -> Iterator[Query]:
    """The queries of `lines`, in order: `text`, `id<TAB>text`, or `{"_id": ..., "text": ...}` each, all of one kind.

    The first line that isn't empty says which kind. Empty lines are left out. Raises SourceError with the line.
    """
    read = None
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
        if not line.strip():
            continue
        if len(line) > MAX_QUERY_CHARS:
            raise SourceError(
                f"the query has {len(line):,} characters, at most {MAX_QUERY_CHARS:,} are read; is this a corpus?",
                source=source,
                line=number,
            )
        read = read or _reader_for(line)
        try:
            query = read(line, number)
        except ValueError as error:
            raise SourceError(str(error), source=source, line=number) from None
        if not query.text.strip():
            raise SourceError("the query is empty; write what to search for", source=source, line=number)
        if query.id in seen:
            raise SourceError(f"a second query has the id {query.id!r}; ids must be unique", source=source, line=number)
        seen.add(query.id)
        yield query


def _reader_for(line: str) -> Any:
    if line.lstrip().startswith("{"):
        return _from_json
    return _from_columns if "\t" in line else _from_text


def _from_text(line: str, number: int) -> Query:
    return Query(str(number), line.strip())


def _from_columns(line: str, number: int) -> Query:
    name, tab, text = line.partition("\t")
    if not tab or not name.strip():
        raise ValueError("expected id<TAB>query, as in the lines before, found no tab or no id")
    return Query(name.strip(), text.strip())


def _from_json(line: str, number: int) -> Query:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"expected a JSON object, as in the lines before ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, found {type(found).__name__}")
    text = next((found[name] for name in _TEXT_NAMES if name in found), None)
    if not isinstance(text, str):
        raise ValueError(f"expected the query as a string under one of {', '.join(_TEXT_NAMES)}")
    name = next((found[name] for name in _ID_NAMES if name in found), number)
    return Query(str(name), text)
