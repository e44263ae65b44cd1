"""Errors stay what they are on their way from one process to another."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from tasb_qdrant import errors
from tasb_qdrant.errors import ReplaceRefusedError, SearchTimeoutError, SourceError, TasbQdrantError


def _kinds(kind: type[TasbQdrantError] = TasbQdrantError) -> Iterator[type[TasbQdrantError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _kinds(below)


@pytest.mark.parametrize("kind", list(_kinds()))
def test_each_kind_can_be_sent(kind: type[TasbQdrantError]) -> None:
    error = kind.__new__(kind)
    error.args = ("what, found, do",)
    error.__dict__.update(source="a.jsonl", line=7)
    received = pickle.loads(pickle.dumps(error))  # just made
    assert (type(received), str(received), vars(received)) == (
        kind,
        "what, found, do",
        {"source": "a.jsonl", "line": 7},
    )


@pytest.mark.parametrize(
    "error",
    [
        SourceError("it is cut off", source="a.jsonl", line=3),
        SearchTimeoutError("searching", timeout=2.0),
        ReplaceRefusedError("c", passage_id="7", differences=[("text", "body", "title")]),
    ],
)
def test_with_all_that_they_say(error: TasbQdrantError) -> None:
    received = pickle.loads(pickle.dumps(error))  # just made
    assert (str(received), vars(received)) == (str(error), vars(error))
