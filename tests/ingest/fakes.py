"""An encoder without a model, and a collection that fails when it is told to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.collection.info import CollectionInfo, OptimizeProgress
from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.loads import LoadMark, Loads, load_metadata, read_loads
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import ScoredPoint, Where
from tasb_qdrant.collection.reads.run import Reads
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import IntegerIds, ModelContract, Passage, RoleFields, point_id
from tasb_qdrant.settings import Bm25Settings, IndexType, PayloadKeys, SplitSettings
from tests.ingest.worker_tokens import word_ids

BATCH = 64
"""Passages of one device batch of the stub."""


def stub_contract(dim: int = 8, *, precision: str = "fp32", weights: str = "5" * 64) -> ModelContract:
    return ModelContract(
        model="stub",
        weights=weights,
        pooling="hash",
        normalized=False,
        distance="Dot",
        dim=dim,
        max_length=16,
        precision=precision,
        query_prompt="",
        passage_prompt="",
        version="0",
    )


def stub_vector(text: str, dim: int) -> NDArray[np.float32]:
    """Float32 (dim,), in -1..1, from a hash of the text's first 16 words."""
    vectors = _vectors_of([word_ids(text)], dim)
    return vectors.reshape(dim)


def _vectors_of(rows: Sequence[NDArray[np.int32]], dim: int) -> NDArray[np.float32]:
    vectors = np.empty((len(rows), dim), dtype=np.float32)
    for row, ids in enumerate(rows):
        digest = hashlib.shake_128(ids.tobytes()).digest(2 * dim)
        vectors[row] = np.frombuffer(digest, dtype=np.int16).astype(np.float32) / 32_768
    return vectors


@dataclass
class StubEncoder:
    """An Encoder whose tokens are hashes of words and whose vectors are hashes of tokens.

    `tokenized` and `encoded` count passages. `before_tokenize` and `before_encode` are called with the
    number of the call, from 0; `spoil` gets each window's vectors and gives those to hand out.
    """

    dim: int = 8
    precision: str = "fp32"
    weights: str = "5" * 64
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    before_tokenize: Callable[[int], None] | None = None
    before_encode: Callable[[int], None] | None = None
    spoil: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    tokenized: int = 0
    encoded: int = 0
    _calls: int = 0
    _tokenize_calls: int = 0

    @property
    def contract(self) -> ModelContract:
        return stub_contract(self.dim, precision=self.precision, weights=self.weights)

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        if self.before_tokenize is not None:
            self.before_tokenize(self._tokenize_calls)
        self._tokenize_calls += 1
        rows = [word_ids(text) for text in texts]
        self.tokenized += len(texts)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in rows], out=offsets[1:])
        ids = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
        return TokenBatch(ids, offsets, sum(len(text.split()) > 16 for text in texts))

    def token_places(self, text: str) -> NDArray[np.int64]:
        return np.array([match.start() for match in re.finditer(r"\S+", text)], dtype=np.int64)

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        if self.before_encode is not None:
            self.before_encode(self._calls)
        self._calls += 1
        vectors = _vectors_of([tokens[row] for row in range(len(tokens))], self.dim)
        for start in range(0, len(tokens), BATCH):
            if on_progress is not None:
                on_progress(min(BATCH, len(tokens) - start))
        self.encoded += len(tokens)
        return vectors if self.spoil is None else self.spoil(vectors)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_tokens(self.tokenize_passages(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_passages(texts)


def fail_at(number: int, error: BaseException) -> Callable[[int], None]:
    """Raises `error` in the call with this number."""

    def hook(call: int) -> None:
        if call == number:
            raise error

    return hook


class FaultyCollection:
    """A real collection, with a hook before each upsert (called with its number, from 0) and before close."""

    def __init__(
        self,
        inner: Collection,
        *,
        before_upsert: Callable[[int], None] | None = None,
        before_close: Callable[[], None] | None = None,
    ) -> None:
        self._inner = inner
        self._before_upsert = before_upsert
        self._before_close = before_close
        self._lock = threading.Lock()
        self.upserts = 0
        self.closed = 0

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def identity(self) -> str:
        return self._inner.identity

    @property
    def edited(self) -> str:
        return self._inner.edited

    @property
    def contract(self) -> ModelContract:
        return self._inner.contract

    @property
    def integer_ids(self) -> IntegerIds:
        return self._inner.integer_ids

    def point_id(self, passage_id: str) -> PointId:
        return self._inner.point_id(passage_id)

    @property
    def keys(self) -> PayloadKeys:
        return self._inner.keys

    @property
    def bm25(self) -> Bm25Settings | None:
        return self._inner.bm25

    @property
    def split(self) -> SplitSettings | None:
        return self._inner.split

    @property
    def fields(self) -> RoleFields | None:
        return self._inner.fields

    @property
    def notes(self) -> tuple[str, ...]:
        return self._inner.notes

    @property
    def limits(self) -> StoreLimits:
        return self._inner.limits

    @property
    def reads(self) -> Reads:
        return self._inner.reads

    @property
    def payload_entries(self) -> Callable[[Passage], bytes] | None:
        return self._inner.payload_entries

    def upsert(self, batch: PointBatch) -> None:
        with self._lock:
            number = self.upserts
            self.upserts += 1
        if self._before_upsert is not None:
            self._before_upsert(number)
        self._inner.upsert(batch)

    def delete_points(self, ids: Sequence[PointId]) -> None:
        self._inner.delete_points(ids)

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        self._inner.replace_payloads(payloads)

    def loads(self) -> Loads:
        return self._inner.loads()

    def note_load(self, load: str, mark: LoadMark | None, *, latest: str = "", retry: bool = True) -> None:
        self._inner.note_load(load, mark, latest=latest, retry=retry)

    def record_fields(self, fields: RoleFields) -> None:
        self._inner.record_fields(fields)

    def indexes(self) -> dict[str, IndexType]:
        return self._inner.indexes()

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        self._inner.ensure_indexes(indexes)

    def remove_index(self, field: str, *, retry: bool = True) -> None:
        self._inner.remove_index(field, retry=retry)

    def begin_load(self) -> None:
        self._inner.begin_load()

    def end_load(self) -> None:
        self._inner.end_load()

    def wait_until_visible(self) -> str:
        return self._inner.wait_until_visible()

    def index_deferred(self) -> bool:
        return self._inner.index_deferred()

    def defer_indexing(self) -> None:
        self._inner.defer_indexing()

    def resume_indexing(self) -> None:
        self._inner.resume_indexing()

    @property
    def shares_machine(self) -> bool:
        return self._inner.shares_machine

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        self._inner.settle_index(changed=changed, on_progress=on_progress)

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        self._inner.optimize(on_progress)

    def info(self) -> CollectionInfo:
        return self._inner.info()

    def queued_updates(self) -> int | None:
        return self._inner.queued_updates()

    def flush(self) -> None:
        self._inner.flush()

    def close(self) -> None:
        self.closed += 1
        try:
            if self._before_close is not None:
                self._before_close()
        finally:
            self._inner.close()


class CountingReads(Reads):
    """Finds nothing, and counts what was stored."""

    def __init__(self, collection: CountingCollection) -> None:
        self._collection = collection
        self.steps: Any = self

    def retrieve(self, ids: Sequence[PointId], **_: Any) -> list[ScoredPoint]:
        return []

    def count(self, where: Where | None = None, **_: Any) -> int:
        return self._collection.points

    def run(self, *_: Any, **__: Any) -> Any:
        return []

    def missing(self, ids: Sequence[PointId], **_: Any) -> list[PointId]:
        return []

    def without_vectors(self, ids: Sequence[PointId], **_: Any) -> frozenset[PointId]:
        return frozenset()


class CountingCollection:
    """A collection that keeps nothing but their number: what is left is the pipeline's own time and memory."""

    name = "counting"
    location = "nowhere"
    identity = "1"
    edited = ""
    notes: tuple[str, ...] = ()
    limits = StoreLimits()
    bm25: Bm25Settings | None = None
    integer_ids: IntegerIds = "u53"
    split: SplitSettings | None = None
    fields: RoleFields | None = None

    def __init__(self, dim: int = 8) -> None:
        self.contract = stub_contract(dim)
        self.keys = PayloadKeys()
        self.points = 0
        self._metadata: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.reads: Reads = CountingReads(self)

    def point_id(self, passage_id: str) -> PointId:
        return point_id(passage_id)

    @property
    def payload_entries(self) -> None:
        return None

    def upsert(self, batch: PointBatch) -> None:
        with self._lock:
            self.points += len(batch.passages)

    def delete_points(self, ids: Sequence[PointId]) -> None:
        raise NotImplementedError

    def replace_payloads(self, payloads: Mapping[PointId, Mapping[str, Any]]) -> None:
        raise NotImplementedError

    def loads(self) -> Loads:
        return read_loads(self._metadata, shared=True)

    def note_load(self, load: str, mark: LoadMark | None, *, latest: str = "", retry: bool = True) -> None:
        self._metadata |= load_metadata(load, mark, latest=latest)

    def record_fields(self, fields: RoleFields) -> None:
        self.fields = fields

    def indexes(self) -> dict[str, IndexType]:
        return {}

    def ensure_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        raise NotImplementedError

    def remove_index(self, field: str, *, retry: bool = True) -> None:
        raise NotImplementedError

    def begin_load(self) -> None:
        pass

    def end_load(self) -> None:
        pass

    def wait_until_visible(self) -> str:
        return ""

    def index_deferred(self) -> bool:
        return False

    def defer_indexing(self) -> None:
        pass

    def resume_indexing(self) -> None:
        pass

    @property
    def shares_machine(self) -> bool:
        return True

    def settle_index(self, *, changed: bool, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        pass

    def optimize(self, on_progress: Callable[[OptimizeProgress], None] | None = None) -> None:
        pass

    def info(self) -> CollectionInfo:
        raise NotImplementedError

    def queued_updates(self) -> int | None:
        return None

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
