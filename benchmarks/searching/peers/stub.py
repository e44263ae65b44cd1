"""The bare gRPC stub and prepared requests: the part that no client can do without."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import grpc
from qdrant_client import grpc as messages


class Stub:
    """A channel to a collection of a server."""

    def __init__(self, *, grpc_port: int, collection: str, year: int, lang: str, limit: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}", [("grpc.enable_http_proxy", 0)])
        points: Any = messages.PointsStub
        self._query = points(self._channel).Query
        self._collection, self._limit = collection, limit
        self._filter = messages.Filter(
            must=[
                messages.Condition(field=messages.FieldCondition(key="year", range=messages.Range(gte=year))),
                messages.Condition(
                    field=messages.FieldCondition(key="lang", match=messages.Match(keyword=lang)),
                ),
            ]
        )

    def request(self, vector: Any, *, filtered: bool, params: Any = None) -> Any:
        """The request that everyone makes: the best points with their whole payload. `params` are the search params."""
        nearest = messages.VectorInput(dense=messages.DenseVector(data=vector.tolist()))
        return messages.QueryPoints(
            collection_name=self._collection,
            query=messages.Query(nearest=nearest),
            filter=self._filter if filtered else None,
            params=params,
            limit=self._limit,
            with_payload=messages.WithPayloadSelector(enable=True),
        )

    def send(self, request: Any) -> Any:
        """The answer, as a message."""
        return self._query(request, timeout=60)

    def send_all(self, requests: Iterable[Any], *, at_once: int) -> None:
        """Send every request, with that many in flight. Raises what the last failed one raised."""
        free = threading.Semaphore(at_once)
        calls = []
        for request in requests:
            free.acquire()
            call = self._query.future(request, timeout=60)
            call.add_done_callback(lambda _: free.release())
            calls.append(call)
        for call in calls:
            call.result()

    def close(self) -> None:
        self._channel.close()
