"""What goes over the wire between the program and a server: who asked for what, what was acknowledged."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from qdrant_client import grpc

Action = Literal["drop", "reset", "reset request", "truncate", "delay", "duplicate", "reply"]

UPSERT: Final = "/qdrant.Points/Upsert"


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request or its reply.

    "drop" closes the connection instead of handing on the reply, "reset" does so with a reset, "reset
    request" before the server has the request, "truncate" after half of the reply; "delay" keeps the reply
    for some seconds, "duplicate" sends the request twice, "reply" answers instead of the server, or after
    it (`late`).
    """

    action: Action
    status: int = 503  # or one of gRPC's
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"status":{"error":"a fault"},"time":0.0}'
    late: bool = False


@dataclass(slots=True)
class Exchange:
    """A request that passed, from 1; `store` is its number among those that store points, or 0.

    `ids` are those that it stores; `acked` says that the server did so.
    """

    number: int
    path: str
    store: int = 0
    ids: tuple[str, ...] = ()
    acked: bool = False
    fault: Fault | None = None


class Wire:
    """The log that all proxies of a server share, and the plan of the faults; both anew for each case.

    `plan` is asked once for each request, with its number among all requests and its number among those
    that store points (0 for another one).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.exchanges: list[Exchange] = []
        self.plan: Callable[[Exchange, int], Fault | None] = lambda exchange, stores: None
        self.on_sent: Callable[[int], object] = lambda stores: None
        self._stores = 0

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.exchanges = []
            self._stores = 0
            self.plan = lambda exchange, stores: None
            self.on_sent = lambda stores: None

    def begin(self, path: str, *, stores: bool) -> Exchange:
        """A request has come; its fault, if any, is in the answer."""
        with self._lock:
            self._stores += stores
            exchange = Exchange(len(self.exchanges) + 1, path, self._stores if stores else 0)
            self.exchanges.append(exchange)
            plan = self.plan
        exchange.fault = plan(exchange, exchange.store)
        return exchange

    def sent(self, exchange: Exchange, ids: Sequence[str]) -> None:
        """The server has the whole request."""
        exchange.ids = tuple(ids)
        if exchange.store:
            self.on_sent(exchange.store)

    @property
    def acked(self) -> set[str]:
        """The ids of all points that the server has acknowledged."""
        return {point_id for exchange in list(self.exchanges) if exchange.acked for point_id in exchange.ids}


def grpc_ids(message: bytes) -> list[str]:
    """The ids of a serialised UpsertPoints."""
    request = grpc.UpsertPoints.FromString(message)
    return [str(point.id.num) if point.id.HasField("num") else point.id.uuid for point in request.points]


def grpc_completed(message: bytes) -> bool:
    """Whether a serialised answer to an upsert says `completed`."""
    return bool(grpc.PointsOperationResponse.FromString(message).result.status == grpc.UpdateStatus.Completed)


def rest_stores(method: str, path: str) -> bool:
    """Whether this request stores points."""
    bare = path.partition("?")[0]
    return method == "PUT" and bare.startswith("/collections/") and bare.endswith("/points")


def rest_ids(body: bytes) -> list[str]:
    """The ids of an upsert's body."""
    sent: dict[str, Any] = json.loads(body)
    if "batch" in sent:
        return [str(point_id) for point_id in sent["batch"]["ids"]]
    return [str(point["id"]) for point in sent["points"]]


def rest_completed(status: int, body: bytes) -> bool:
    """Whether an answer to an upsert says `completed`."""
    if status != 200:
        return False
    answer = json.loads(body).get("result")
    return isinstance(answer, dict) and answer.get("status") == "completed"


def messages(body: bytes) -> Iterator[bytes]:
    """The messages in a gRPC stream's data: each after a byte that says whether it is compressed, and its length."""
    while len(body) >= 5:
        end = 5 + int.from_bytes(body[1:5])
        yield gzip.decompress(body[5:end]) if body[0] else body[5:end]
        body = body[end:]
