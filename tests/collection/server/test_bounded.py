"""Answers that grow in memory, over both transports: they are refused by name, and honest ones are unpacked."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc
import httpx
import pytest

from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.collection.server.address import http_client, plain_channel
from tasb_qdrant.collection.server.bounded import AnswerTooLargeError, bound, bound_async
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.settings import store_settings
from tests.collection.faults import HttpFault, HttpProxy
from tests.qdrant_servers import QdrantServer


def _raw_deflate(data: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packed.compress(data) + packed.flush()


def _bomb(mebibytes: int) -> bytes:
    packed = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return b"".join(packed.compress(b" " * 2**20) for _ in range(mebibytes)) + packed.flush()


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, data: bytes, piece: int = 65536) -> None:
        self._pieces = [data[at : at + piece] for at in range(0, len(data), piece)]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _read(data: bytes, encoding: str = "gzip", *, awaited: bool = False, piece: int = 65536) -> bytes:
    answer = httpx.Response(200, headers={"content-encoding": encoding}, stream=_Stream(data, piece))
    if not awaited:
        bound(answer)
        return answer.read()

    async def read() -> bytes:
        await bound_async(answer)
        return await answer.aread()

    return asyncio.run(read())


@pytest.mark.parametrize("awaited", [False, True], ids=["waited for", "awaited"])
@pytest.mark.parametrize("piece", [1, 65536])
def test_honest_answers_are_unpacked(awaited: bool, piece: int) -> None:
    plain = json.dumps([{"id": number, "text": f"passage {number}"} for number in range(2_000)]).encode()
    for encoding, packed in (
        ("gzip", gzip.compress(plain)),
        ("x-gzip", gzip.compress(plain[:9]) + gzip.compress(plain[9:])),
        ("deflate", zlib.compress(plain)),
        ("deflate", _raw_deflate(plain)),
        ("identity", plain),
        ("", plain),
    ):
        if piece == 1 and encoding == "deflate":
            continue  # its format is told by its first two bytes
        assert _read(packed, encoding, awaited=awaited, piece=piece) == plain


@pytest.mark.parametrize("awaited", [False, True], ids=["waited for", "awaited"])
def test_an_answer_that_grows_is_not_taken(awaited: bool) -> None:
    bomb = _bomb(200)
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLargeError, match=r"more than 6[45] MiB in memory"):
            _read(bomb, awaited=awaited)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    for encoding in ("br", "zstd", "gzip, gzip", "compress"):
        with pytest.raises(AnswerTooLargeError, match="not asked for"):
            _read(b"x", encoding, awaited=awaited)
    with pytest.raises(httpx.DecodingError):
        _read(b"not gzip at all", awaited=awaited)


@pytest.mark.parametrize("path", ["/", "/collections"])
def test_a_servers_bomb_is_a_named_error(qdrant_1_17: QdrantServer, path: str) -> None:
    with HttpProxy(qdrant_1_17) as proxy:
        proxy.when = lambda _, asked: asked == path
        proxy.always = HttpFault(200, {"content-encoding": "gzip", "content-type": "application/json"}, _bomb(100))
        with pytest.raises(CollectionError, match=r"answer is not taken: .* MiB in memory; ask for less"):
            open_store_at(store_settings(url=proxy.url, transport="rest")).names()
        assert len(proxy.seen) == 1  # and is not tried again
        with http_client(store_settings(url=proxy.url)) as client, pytest.raises(AnswerTooLargeError):
            client.get(path)


def test_a_packed_answer_over_grpc_is_refused() -> None:
    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda *_: b" " * 2**20)

    server = grpc.server(futures.ThreadPoolExecutor(1), compression=grpc.Compression.Gzip)
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        settings = store_settings(url="http://127.0.0.1:1", grpc_port=port)
        with plain_channel(settings) as channel:
            ask: Any = channel.unary_unary("/qdrant.Qdrant/HealthCheck")
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", timeout=10)
            print(refused.value)
    finally:
        server.stop(None).wait()
