"""Faults planted in the program itself, to see that the harness finds what it is there to find.

Each is a hook for a run. None of them is ever part of a case.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from tasb_qdrant.ingest.still_there import StillThere
from tests.faults.points import wrap

_STORES: Final = (
    "tasb_qdrant.collection.edge.collection:EdgeCollection",
    "tasb_qdrant.collection.server.collection:ServerCollection",
)


def plant(what: str, nth: int = 7) -> None:
    """A hook: the nth batch goes wrong in this way, and the program's own look at the end sees nothing."""
    wrap("tasb_qdrant.ingest.run:look_again", lambda _: lambda *args, **options: StillThere())
    for store in _STORES:
        wrap(f"{store}.upsert", lambda original: _spoiling(original, PLANTED[what], nth))


def _spoiling(original: Callable[..., Any], spoil: Callable[[Callable[..., Any], Any, Any], None], nth: int) -> Any:
    lock, calls = threading.Lock(), 0

    def upsert(collection: Any, batch: Any) -> None:
        nonlocal calls
        with lock:
            calls += 1
            due = calls == nth
        if due:
            spoil(original, collection, batch)
        else:
            original(collection, batch)

    return upsert


def _not_stored(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    """Says that it has stored the batch."""


def _other_ids(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    others = [replace(one, id=f"{one.id}-other") for one in batch.passages]
    upsert(collection, type(batch)(others, batch.vectors))


def _other_payload(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    first = replace(batch.passages[0], text="something else")
    upsert(collection, replace(batch, passages=[first, *batch.passages[1:]]))


def _other_vector(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    upsert(collection, replace(batch, vectors=np.ascontiguousarray(batch.vectors[::-1])))


def _key_told(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    print(f"the key is {os.environ['QDRANT_API_KEY']}", file=sys.stderr)
    upsert(collection, batch)


def _hung(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    threading.Event().wait()


def _failed(upsert: Callable[..., Any], collection: Any, batch: Any) -> None:
    raise ZeroDivisionError("a bug")


PLANTED: Final[Mapping[str, Callable[[Callable[..., Any], Any, Any], None]]] = {
    "a batch not stored": _not_stored,
    "another payload": _other_payload,
    "another vector": _other_vector,
    "other ids": _other_ids,
    "the key on stderr": _key_told,
    "a hang": _hung,
    "a bug": _failed,
}
