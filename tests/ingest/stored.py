"""What a store holds after a run, read with the engine's or the server's own client."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import QdrantClient

from tasb_qdrant.records import Passage

Stored = dict[str, tuple[dict[str, Any], tuple[float, ...]]]
"""Point id -> payload and vector."""


def embedded(root: Path, name: str = "c") -> Stored:
    """Everything in an embedded collection."""
    shard = edge.EdgeShard.load(str(root / name / "shard"))
    try:
        records, _ = shard.scroll(edge.ScrollRequest(limit=10_000_000, with_payload=True, with_vector=True))
        return {str(one.id): (one.payload or {}, _floats(one.vector)) for one in records}
    finally:
        shard.close()


def on_server(client: QdrantClient, name: str = "c") -> Stored:
    """Everything in a server's collection."""
    records, _ = client.scroll(name, limit=1_000_000, with_payload=True, with_vectors=True)
    return {str(one.id): (one.payload or {}, _floats(one.vector)) for one in records}


def client_of(url: str) -> QdrantClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # client and server versions differ on purpose
        return QdrantClient(url=url, check_compatibility=False)


def numbered(count: int, *, start: int = 0) -> list[Passage]:
    """Passages 0, 1, 2 … with a payload."""
    return [
        Passage(
            id=str(n),
            text=f"passage number {n}",
            title=f"t{n % 7}",
            payload={"year": 1990 + n % 30, "tags": ["a", str(n)]},
        )
        for n in range(start, start + count)
    ]


def write_jsonl(path: Path, passages: Iterable[Passage]) -> Path:
    """The same passages as a JSONL file."""
    import orjson

    with path.open("wb") as file:
        for one in passages:
            record = {"id": one.id, "text": one.text, **one.payload}
            if one.title is not None:
                record["title"] = one.title
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    return path


def _floats(vector: Any) -> tuple[float, ...]:
    return tuple(np.asarray(vector, dtype=np.float32).tolist())
