"""What a store really holds, read without the program, and compared with what it must hold."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TOLERANCE: Final = 1e-5
"""Of a vector's numbers, which are around 1: batches of other sizes add up in another order."""

_PAGE: Final = 1000


@dataclass(frozen=True)
class Held:
    """What one replica holds: point id -> payload as JSON, its numbers. `count` is what the store itself counts."""

    where: str
    points: Mapping[str, tuple[str, NDArray[np.float64]]]
    count: int
    seen_twice: int = 0

    @property
    def doubled(self) -> int:
        """Points too many: an id that came twice, a passage under two ids, or more counted than there are."""
        passages = Counter(json.loads(payload).get("passage_id") for payload, _ in self.points.values())
        return self.seen_twice + sum(n - 1 for n in passages.values()) + max(0, self.count - len(self.points))


@dataclass(frozen=True)
class Difference:
    """How far a replica is from what it must hold. `names` are a few of the points."""

    where: str
    lost: int
    doubled: int
    wrong: int
    names: tuple[str, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong)

    def __str__(self) -> str:
        few = ", ".join(self.names)
        return f"{self.where}: {self.lost} lost, {self.doubled} doubled, {self.wrong} wrong ({few})"


Expected = Mapping[str, tuple[str, NDArray[np.float64]]]


def compare(held: Held, expected: Expected, *, tolerance: float = TOLERANCE) -> Difference:
    """Every point of the one with every point of the other: ids, payloads, vectors. Extra points are wrong ones."""
    lost = [point_id for point_id in expected if point_id not in held.points]
    wrong = [point_id for point_id in held.points if point_id not in expected]
    for point_id, (payload, vector) in held.points.items():
        if point_id in expected:
            wanted_payload, wanted = expected[point_id]
            near = vector.shape == wanted.shape and bool(np.allclose(vector, wanted, rtol=0, atol=tolerance))
            if payload != wanted_payload or not near:
                wrong.append(point_id)
    # A count below the points that can be read is a loss for whoever trusts it.
    missing = max(len(lost), len(expected) - held.count)
    return Difference(held.where, missing, held.doubled, len(wrong), (*lost[:3], *wrong[:3]))


class Rest:
    """The server's HTTP, spoken plainly. `key` may be None."""

    def __init__(self, host: str, port: int, key: str | None) -> None:
        self._address = (host, port)
        self._headers = {"content-type": "application/json"} | ({} if key is None else {"api-key": key})

    def ask(self, method: str, path: str, body: object = None, *, seconds: float = 30.0) -> Any:
        """The `result` of the answer. Raises OSError, also for an answer that isn't 200."""
        connection = http.client.HTTPConnection(*self._address, timeout=seconds)
        with closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            raise OSError(f"{method} {path} answered {answer.status}: {content[:300]!r}")
        return json.loads(content).get("result")

    def held(self, collection: str, where: str, *, consistency: str | None = None) -> Held | None:
        """Everything in the collection, or None where there is none."""
        if not self.ask("GET", f"/collections/{collection}/exists")["exists"]:
            return None
        reading = f"?consistency={consistency}" if consistency else ""
        points: dict[str, tuple[str, NDArray[np.float64]]] = {}
        page: dict[str, Any] = {"limit": _PAGE, "with_payload": True, "with_vector": True}
        offset, twice = None, 0
        while True:
            body = page if offset is None else page | {"offset": offset}
            answer = self.ask("POST", f"/collections/{collection}/points/scroll{reading}", body)
            for point in answer["points"]:
                twice += str(point["id"]) in points
                points[str(point["id"])] = described(point["payload"], point["vector"])
            if (offset := answer["next_page_offset"]) is None:
                break
        count = self.ask("POST", f"/collections/{collection}/points/count", {"exact": True})["count"]
        return Held(where, points, count, twice)


def described(payload: Mapping[str, Any] | None, vectors: Any) -> tuple[str, NDArray[np.float64]]:
    """A point as it is compared: its numbers are those of its vector, and then each word's index and weight."""
    named = vectors if isinstance(vectors, Mapping) else {"": vectors}
    words = named.get("bm25", {"indices": [], "values": []})
    pairs = sorted(zip(words["indices"], words["values"], strict=True))
    numbers = np.concatenate([np.asarray(named[""], dtype=np.float64), np.ravel(np.asarray(pairs, dtype=np.float64))])
    return json.dumps(payload or {}, sort_keys=True, ensure_ascii=False), numbers


def dump_embedded(root: str, collection: str, target: str) -> None:
    """A job for a forked child: write all that a copy of an embedded collection holds to the file `target`.

    A copy, since opening it changes it: the log of what was acknowledged is applied.
    """
    import qdrant_edge as edge

    folder = Path(root) / collection
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as copy:
        shutil.copytree(folder / "shard", Path(copy) / "shard")
        shard = edge.EdgeShard.load(str(Path(copy) / "shard"))
        records, _ = shard.scroll(edge.ScrollRequest(limit=10_000_000, with_payload=True, with_vector=True))
        points = [[str(one.id), one.payload, _in_json(one.vector)] for one in records]
        count = shard.count(edge.CountRequest(exact=True))
        shard.close()
    Path(target).write_text(json.dumps({"points": points, "count": count}))


def _in_json(vectors: Any) -> Any:
    """As a server's REST writes them."""
    if not isinstance(vectors, Mapping):
        return np.asarray(vectors, dtype=np.float32).tolist()
    written = {"": _in_json(vectors[""])}
    if (words := vectors.get("bm25")) is not None:
        written["bm25"] = {"indices": list(words.indices), "values": list(words.values)}
    return written


def read_dump(target: Path, where: str) -> Held:
    """What `dump_embedded` has written."""
    dump = json.loads(target.read_text())
    points = {point_id: described(payload, vector) for point_id, payload, vector in dump["points"]}
    return Held(where, points, dump["count"], len(dump["points"]) - len(points))


def from_source(source: Path) -> dict[str, str]:
    """Passage id -> payload as JSON, straight from the file: what an undisturbed run is itself held against."""
    expected: dict[str, str] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["text"]:
            passage_id = record.pop("id")
            expected[passage_id] = json.dumps({"passage_id": passage_id, **record}, sort_keys=True, ensure_ascii=False)
    return expected
