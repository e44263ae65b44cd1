"""Hits as the lines of a TREC run, which trec_eval, ir_measures and their like read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tasb_qdrant.errors import InvalidInputError
from tasb_qdrant.printable import STEERING
from tasb_qdrant.records import Hit


def trec_lines(query_id: str, hits: Sequence[Hit[Any]], *, name: str) -> Iterator[str]:
    """`query Q0 passage rank score name`, a line a hit, ranks from 1.

    Raises InvalidInputError for an id or a name with a space in it, which would make another column, and for one that
    could steer a terminal: an escape would be another id.
    """
    for what, value in (("query id", query_id), ("name of the run", name)):
        _check(what, value)
    for rank, hit in enumerate(hits, start=1):
        _check("passage id", hit.id)
        yield f"{query_id} Q0 {hit.id} {rank} {hit.score:.9g} {name}"


def _check(what: str, value: str) -> None:
    if STEERING.search(value):
        raise InvalidInputError(f"the {what} {value!r} has a character that isn't seen: a TREC run can't hold it")
    if not value or len(value.split()) != 1 or value.strip() != value:
        raise InvalidInputError(f"the {what} {value!r} has a space in it, or is empty: a TREC run can't hold it")
