"""A deletion or a new payload counts only when the server says `completed`; until then it is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from qdrant_client import grpc as messages

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.errors import RequestRefusedError, ServerBusyError
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import GrpcFault, GrpcProxy, HttpFault, HttpProxy
from tests.collection.helpers import (
    CONTRACT,
    fill,
    fresh_name,
    payloads_of,
)
from tests.qdrant_servers import QdrantServer

NOT_DONE = ["acknowledged", "wait_timeout"]


@contextmanager
def filled(url: str, *, grpc_port: int | None = None) -> Iterator[Collection]:
    """A collection of twelve behind a proxy, whose waits take no time."""
    transport: Any = "grpc" if grpc_port else "rest"
    store = ServerStore(store_settings(url=url, grpc_port=grpc_port, transport=transport), sleep=lambda _: None)
    name = fresh_name()
    collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
    try:
        fill(collection, 12)
        yield collection
    finally:
        store.delete(name)
        store.close()


def replaced(collection: Collection, **fields: Any) -> None:
    collection.replace_payloads({number: {"passage_id": str(number), **fields} for number in range(7)})


def test_over_rest(qdrant_1_17: QdrantServer) -> None:
    with HttpProxy(qdrant_1_17) as proxy, filled(proxy.url) as collection:
        proxy.when = lambda method, path: method == "POST" and ("/points/delete" in path or "/points/batch" in path)
        for number, status in enumerate(NOT_DONE):  # each change is a new one: what is there already counts
            result = f'{{"operation_id":1,"status":"{status}"}}'
            whole = ",".join([result] * 7)
            for body in (result, f"[{whole}]", "[]", f"[{result}]"):
                answer = f'{{"result":{body},"status":"ok","time":0.0}}'.encode()
                proxy.seen.clear()
                proxy.script.extend([HttpFault(200, body=answer), HttpFault(503), HttpFault(reset=True)])
                if body.startswith("["):
                    replaced(collection, body=f"{number} {body}")
                else:
                    collection.delete_points([8 + number])
                assert len(proxy.seen) == 4
        assert collection.reads.count() == 10
        assert payloads_of(collection, [6]) == {6: {"passage_id": "6", "body": f"{number} {body}"}}


def test_over_grpc(qdrant_1_17: QdrantServer) -> None:
    with GrpcProxy(qdrant_1_17) as proxy, filled(qdrant_1_17.url, grpc_port=proxy.port) as collection:
        statuses = messages.UpdateStatus.values()
        not_done = [messages.UpdateResult(status=one) for one in statuses if one != messages.UpdateStatus.Completed]
        assert len(not_done) >= 4
        busy = GrpcFault(grpc.StatusCode.UNAVAILABLE)
        proxy.method = "/qdrant.Points/Delete"
        for number, result in enumerate(not_done):
            proxy.seen = 0
            answer = messages.PointsOperationResponse(result=result).SerializeToString()
            proxy.script.extend([GrpcFault(answer=answer), busy, GrpcFault(answer=b"")])
            collection.delete_points([11 - number])
            assert proxy.seen == 4
        proxy.method = "/qdrant.Points/UpdateBatch"
        for number, result in enumerate(not_done):
            proxy.seen = 0
            for results in ([result] * 7, [result], []):
                answer = messages.UpdateBatchResponse(result=results).SerializeToString()
                proxy.script.extend([GrpcFault(answer=answer), busy])
            replaced(collection, round=number)
            assert proxy.seen == 7
        assert collection.reads.count() == 12 - len(not_done)
        assert payloads_of(collection, [5]) == {5: {"passage_id": "5", "round": number}}


def test_an_unconfirmed_change_is_named_after_the_retries(qdrant_1_17: QdrantServer) -> None:
    with HttpProxy(qdrant_1_17) as proxy, filled(proxy.url) as collection:
        proxy.when = lambda method, path: "/points/delete" in path
        proxy.always = HttpFault(200, body=b'{"result":{"operation_id":1,"status":"acknowledged"},"time":0.0}')
        with pytest.raises(ServerBusyError, match=r"deleting passages: .*said 'acknowledged' instead of 'completed'"):
            collection.delete_points([1])
        proxy.always = None


def test_payloads_that_are_too_many_for_one_request_are_split(qdrant_1_17: QdrantServer) -> None:
    with HttpProxy(qdrant_1_17) as proxy, filled(proxy.url) as collection:
        proxy.when = lambda method, path: "/points/batch" in path
        proxy.seen.clear()
        proxy.script.extend([HttpFault(413)] * 2)
        replaced(collection)
        assert len(proxy.seen) == 5  # 7; 3; 1 and 2; 4
        assert all(
            payload == {"passage_id": str(point)} for point, payload in payloads_of(collection, range(7)).items()
        )
        proxy.always = HttpFault(413)
        with pytest.raises(
            RequestRefusedError, match="replacing payloads: the server never takes a request that large"
        ):
            replaced(collection)
        proxy.always = None
