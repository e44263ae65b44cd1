"""Whose fault it is that an answer can't be read: a server's, or a proxy's, is tried again; one of our own is named at
once, and blames nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import numpy as np
import pytest

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions
from tasb_qdrant.collection.server import grpc as grpc_wire
from tasb_qdrant.collection.server import grpc_answers, rest, rest_answers
from tasb_qdrant.collection.server.collection import ServerCollection
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import ServerBusyError, UnreadableAnswerError
from tasb_qdrant.settings import CollectionSettings
from tests.collection.conftest import server_settings
from tests.collection.helpers import CONTRACT, fill, fresh_name
from tests.qdrant_servers import QdrantServer
from tests.waiting import sooner_than

AT_ONCE: Final = 20.0
DEFECTS: Final = (TypeError("a defect"), ValueError("a defect"), KeyError("a defect"), AttributeError("a defect"))


@pytest.fixture(params=["grpc", "rest"])
def collection(request: pytest.FixtureRequest, qdrant_1_17: QdrantServer) -> Iterator[ServerCollection]:
    """Twenty points, read over a store that tries failures again for a minute."""
    name = fresh_name()
    with closing(ServerStore(server_settings(qdrant_1_17, request.param, retry_seconds=60.0))) as store:
        opened = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings(indexes={"n": "integer"}))
        fill(opened, 20)
        assert isinstance(opened, ServerCollection)
        yield opened
        store.delete(name)


def _broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """What makes our values of a server's fails; how often it was called."""
    calls: list[int] = []

    def fail(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(grpc_answers, "_scored", fail)
    monkeypatch.setattr(rest_answers, "_scored", fail)
    return calls


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: type(defect).__name__)
def test_a_defect_of_our_own_is_named_at_once(
    collection: ServerCollection, monkeypatch: pytest.MonkeyPatch, defect: Exception
) -> None:
    calls = _broken(monkeypatch, defect)
    vector = Nearest(_vector())
    reads = collection.reads
    kinds: dict[str, Callable[[], Any]] = {
        "query": lambda: reads.query([vector], QueryOptions()),
        "scroll": lambda: reads.scroll(),
        "retrieve": lambda: reads.retrieve([0, 1]),
    }
    for read in kinds.values():
        with sooner_than(AT_ONCE), pytest.raises(UnreadableAnswerError, match=rf"is valid.*{type(defect).__name__}"):
            read()
    assert len(calls) == len(kinds)


def test_awaited_too(collection: ServerCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    _broken(monkeypatch, TypeError("a defect"))

    async def ask() -> None:
        reads = collection.async_reads()
        try:
            await reads.run(collection.reads.steps.scroll())
        finally:
            await reads.aclose()

    with sooner_than(AT_ONCE), pytest.raises(UnreadableAnswerError, match="upgrade tasb-qdrant, or report it"):
        asyncio.run(ask())


def test_an_answer_to_something_else_is_tried_again(
    collection: ServerCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    collection._reading._sleep = waits.append
    for module, name in ((grpc_wire, "read_query"), (rest, "read_query")):
        right = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, right=right, **more: right(*args, **{**more, "count": 2}))
    with pytest.raises(ServerBusyError, match="its answer is not Qdrant's"):
        collection.reads.query([Nearest(_vector())], QueryOptions())
    assert waits


def _vector() -> Any:
    return np.ones(CONTRACT.dim, dtype=np.float32)
