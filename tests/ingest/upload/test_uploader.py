"""What goes to the collection in one request, and when it is made to last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.collection import open as opening
from tasb_qdrant.collection.limits import UpsertLimits
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.upload.uploader import BATCH_BYTES, FLUSH_EVERY, REST_BYTES, batches_of
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records import Passage
from tasb_qdrant.records.sparse import SparseVectors
from tests.ingest import stored
from tests.ingest.fakes import CountingCollection, StubEncoder
from tests.qdrant_servers import QdrantServer


def words_of(rows: int, words: int) -> SparseVectors:
    indices = np.arange(rows * words, dtype=np.uint32)
    return SparseVectors(indices, indices.astype(np.float32), np.arange(rows + 1, dtype=np.int64) * words)


@given(
    st.lists(
        st.sampled_from([10, 5_000, BATCH_BYTES // 3, BATCH_BYTES - 100, 2 * BATCH_BYTES]), min_size=1, max_size=12
    ),
    st.sampled_from([1, 768, 200_000]),
    st.sampled_from([None, 1, 2, 5, 100]),
    st.sampled_from([None, 0, 100, 200_000]),
)
@settings(deadline=None)
def test_requests_keep_to_their_bounds_and_hold_every_row_in_order(
    sizes: list[int], dim: int, most: int | None, words: int | None
) -> None:
    passages = [Passage(str(n), "t") for n in range(len(sizes))]
    content = {size: b"x" * size for size in set(sizes)}
    window = Window(0, passages, [p.point_id for p in passages], [content[size] for size in sizes])
    vectors = np.repeat(np.arange(len(sizes), dtype=np.float32)[:, None], dim, axis=1)
    sparse = None if words is None else words_of(len(sizes), words)
    row = 0
    for batch in batches_of(window, vectors, dim=dim, sparse=sparse, limits=UpsertLimits(most)):
        count = len(batch.passages)
        assert most is None or count <= most
        assert batch.passages == passages[row : row + count]
        assert batch.vectors[:, 0].tolist() == list(range(row, row + count))
        in_all = sum(sizes[row : row + count])
        if count > 1:
            assert in_all + (4 * dim + 9 * (words or 0)) * count <= BATCH_BYTES
            assert in_all + (24 * dim + 34 * (words or 0)) * count <= REST_BYTES
        if sparse is not None:
            assert batch.sparse is not None
            assert np.array_equal(batch.sparse.indices, sparse.part(row, row + count).indices)
        row += count
    assert row == len(sizes)


def test_wide_vectors_and_long_texts_pass_over_rest(tmp_path: Path, qdrant_1_17: QdrantServer) -> None:
    passages = [Passage(str(n), f"{n} " + "wörter 漢字 " * 1_500) for n in range(600)]
    client = stored.client_of(qdrant_1_17.url)
    report = ingest(
        passages,
        collection="wide",
        url=qdrant_1_17.url,
        transport="rest",
        encoder=StubEncoder(dim=4_096),
        optimize=False,
    )
    assert report.stored == report.points == 600
    client.delete_collection("wide")
    client.close()


def test_what_is_stored_is_flushed_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed_at: list[int] = []

    class Flushing(CountingCollection):
        def flush(self) -> None:
            flushed_at.append(self.points)

    collection = Flushing()

    def open_it(*_: object, **__: object) -> Collection:
        return collection

    monkeypatch.setattr(opening, "open_for_writing", open_it)
    count = 2 * FLUSH_EVERY + 1_000
    passages = (Passage(str(n), "text") for n in range(count))
    ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder(), optimize=False)
    assert len(flushed_at) == 3  # the last one by the report
    assert FLUSH_EVERY <= flushed_at[0] < flushed_at[1] <= flushed_at[2] == count
