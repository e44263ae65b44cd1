"""Not a contestant: prepared requests, sent through a bare channel, to measure what the server itself accepts."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc

POINTS, IN_FLIGHT = 512, 3


OURS: Any = import_module("ours")  # a file of this folder


class Replaying:
    def __init__(self, *, variant: str) -> None:
        pass

    def prepare(self, *, folder: str, count: int) -> None:
        """The requests go to a file: they take twice the memory of the points."""
        self._file, self._count, self._folder = Path(folder) / f"requests-{count}", count, folder

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        settings = import_module("tasb_qdrant.settings")
        opening = import_module("tasb_qdrant.collection.open")
        self._store = opening.open_store_at(settings.store_settings(url=url, grpc_port=grpc_port, transport="grpc"))
        self._collection: Any = opening.open_for_writing(
            collection, self._store, contract=OURS.contract(), settings=settings.CollectionSettings()
        )
        self._collection.defer_indexing()
        self._sizes = self._write(collection, settings.PayloadKeys())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}", [("grpc.max_send_message_length", -1)])

    def _write(self, collection: str, keys: Any) -> list[int]:
        passages, vectors = OURS.read_passages(self._folder, self._count)
        batch = import_module("tasb_qdrant.collection.protocol").PointBatch
        wire = import_module("tasb_qdrant.collection.server.upserts").UpsertWire(collection, dim=OURS.DIM, keys=keys)
        with self._file.open("wb") as file:
            starts = range(0, self._count, POINTS)
            return [
                file.write(wire.request(batch(passages[at : at + POINTS], vectors[at : at + POINTS]))) for at in starts
            ]

    def load(self, *, batch: int, parallel: int) -> None:
        upsert: Any = self._channel.unary_unary("/qdrant.Points/Upsert")
        turn, sizes = threading.Lock(), iter(self._sizes)
        failures: list[grpc.RpcError] = []

        def send() -> None:
            try:
                while True:
                    with turn:
                        if (size := next(sizes, 0)) == 0:
                            return
                        request = file.read(size)
                    upsert(request, timeout=60)
            except grpc.RpcError as error:
                failures.append(error)

        with self._file.open("rb") as file:
            threads = [threading.Thread(target=send) for _ in range(IN_FLIGHT)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]

    def close(self) -> None:
        self._file.unlink(missing_ok=True)
        self._channel.close()
        self._collection.close()
        self._store.close()


CONTESTANT = Replaying
