"""The proxies read the wire as it is, and put on it what they mean to."""

from __future__ import annotations

import gzip

from hpack import Encoder
from qdrant_client import grpc

from tests.faults import http2, wire
from tests.faults.http2 import FrameReader, FrameWriter
from tests.faults.wire import Fault, Wire

FIELDS = [(":path", "/qdrant.Points/Upsert"), ("api-key", "secret" * 5)]


def test_frames_are_the_same_however_the_bytes_come() -> None:
    writer = FrameWriter()
    sent = http2.PREFACE + writer.headers(1, FIELDS, ends_stream=False) + writer.answer(3, 0, [], b"abc")
    whole = list(FrameReader(preface=True).feed(sent))
    reader = FrameReader(preface=True)
    bytewise = [frame for position in range(len(sent)) for frame in reader.feed(sent[position : position + 1])]
    assert bytewise == whole
    assert [frame.kind for frame in whole] == [-1, http2.HEADERS, http2.HEADERS, http2.DATA, http2.HEADERS]
    assert whole[1].field(":path") == "/qdrant.Points/Upsert"
    assert list(wire.messages(whole[3].data)) == [b"abc"]
    assert [frame.ends_stream for frame in whole] == [False, False, False, False, True]


def test_headers_in_several_padded_frames_come_as_one_and_go_on_readable() -> None:
    block = Encoder().encode(FIELDS)
    half = len(block) // 2
    padded = bytes((3,)) + bytes(5) + block[:half] + bytes(3)
    first = len(padded).to_bytes(3) + bytes((http2.HEADERS, 0x1 | 0x8 | 0x20)) + (5).to_bytes(4) + padded
    rest = len(block[half:]).to_bytes(3) + bytes((http2.CONTINUATION, 0x4)) + (5).to_bytes(4) + block[half:]
    (frame,) = FrameReader(preface=False).feed(first + rest)
    assert frame.fields == FIELDS
    assert frame.ends_stream
    assert frame.stream == 5
    (again,) = FrameReader(preface=False).feed(FrameWriter().passed_on(frame))
    assert (again.fields, again.ends_stream, again.stream) == (FIELDS, True, 5)


def test_messages_may_be_compressed() -> None:
    packed = gzip.compress(b"a message")
    data = b"\1" + len(packed).to_bytes(4) + packed + b"\0" + (2).to_bytes(4) + b"ab" + b"\0\0"
    assert list(wire.messages(data)) == [b"a message", b"ab"]


def test_the_ids_and_the_status_of_upserts_are_read_on_both_transports() -> None:
    points = [grpc.PointStruct(id=grpc.PointId(num=7)), grpc.PointStruct(id=grpc.PointId(uuid="u"))]
    assert wire.grpc_ids(grpc.UpsertPoints(collection_name="c", points=points).SerializeToString()) == ["7", "u"]
    for status in (grpc.UpdateStatus.Completed, grpc.UpdateStatus.Acknowledged):
        answer = grpc.PointsOperationResponse(result=grpc.UpdateResult(operation_id=1, status=status))
        assert wire.grpc_completed(answer.SerializeToString()) == (status == grpc.UpdateStatus.Completed)
    assert wire.rest_ids(b'{"batch":{"ids":[7,"u"],"vectors":[]}}') == ["7", "u"]
    assert wire.rest_ids(b'{"points":[{"id":7},{"id":"u"}]}') == ["7", "u"]
    assert wire.rest_completed(200, b'{"result":{"operation_id":1,"status":"completed"}}')
    assert not wire.rest_completed(200, b'{"result":{"operation_id":1,"status":"acknowledged"}}')
    assert not wire.rest_completed(500, b"junk")
    assert wire.rest_stores("PUT", "/collections/c/points?wait=true")
    assert not wire.rest_stores("PUT", "/collections/c")
    assert not wire.rest_stores("POST", "/collections/c/points")


def test_the_plan_sees_the_number_of_a_request_and_that_among_those_that_store() -> None:
    log, seen = Wire(), []

    def plan(exchange: wire.Exchange, stores: int) -> Fault | None:
        seen.append((exchange.number, stores))
        return Fault("drop") if stores == 2 else None

    log.plan = plan
    exchanges = [log.begin(path, stores=path == wire.UPSERT) for path in ("/a", wire.UPSERT, "/b", wire.UPSERT)]
    assert seen == [(1, 0), (2, 1), (3, 0), (4, 2)]
    assert [exchange.fault for exchange in exchanges] == [None, None, None, Fault("drop")]
    told: list[int] = []
    log.on_sent = told.append
    log.sent(exchanges[0], [])
    log.sent(exchanges[3], ["7"])
    exchanges[3].acked = True
    assert told == [2]
    assert log.acked == {"7"}
