"""This project's last stage alone: windows and their vectors, through the uploader, into the collection."""

from __future__ import annotations

from importlib import import_module
from typing import Any

OURS: Any = import_module("ours")  # a file of this folder


class Uploading:
    def __init__(self, *, variant: str) -> None:
        pass

    def prepare(self, *, folder: str, count: int) -> None:
        """The windows hold what reading has made of the passages: point ids, and payloads as JSON."""
        passages, self._vectors = OURS.read_passages(folder, count)
        window = import_module("tasb_qdrant.ingest.window")
        to_payload = import_module("tasb_qdrant.collection.payload").to_payload
        canonical = import_module("tasb_qdrant.ingest.read.content").canonical
        keys = import_module("tasb_qdrant.settings").PayloadKeys()
        self._windows = []
        for number, start in enumerate(range(0, count, window.WINDOW_SIZE)):
            part = passages[start : start + window.WINDOW_SIZE]
            contents = [canonical(to_payload(passage, keys)) for passage in part]
            self._windows.append(window.Window(number, part, [passage.point_id for passage in part], contents))

    def create(self, *, url: str, grpc_port: int, collection: str) -> None:
        settings = import_module("tasb_qdrant.settings")
        opening = import_module("tasb_qdrant.collection.open")
        self._store = opening.open_store_at(settings.store_settings(url=url, grpc_port=grpc_port, transport="grpc"))
        self._collection: Any = opening.open_for_writing(
            collection, self._store, contract=OURS.contract(), settings=settings.CollectionSettings()
        )
        self._collection.defer_indexing()

    def load(self, *, batch: int, parallel: int) -> None:
        uploader = import_module("tasb_qdrant.ingest.upload.uploader")
        counters = import_module("tasb_qdrant.ingest.progress").Counters()
        with import_module("tasb_qdrant.ingest.flow").Flow() as flow:
            uploading = uploader.Uploader(self._collection, flow, counters, on_stored=lambda _: None)
            at = 0
            for window in self._windows:
                rows = self._vectors[at : at + len(window.passages)]
                at += len(window.passages)
                for each in uploader.batches_of(window, rows, dim=rows.shape[1]):
                    uploading.batches.put(each)
            uploading.batches.close()
            flow.join(waiting=counters.tell)

    def close(self) -> None:
        self._collection.close()
        self._store.close()


CONTESTANT = Uploading
