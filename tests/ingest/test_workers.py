"""--workers: whatever their number, what is stored, counted and said is the same."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as edge
from qdrant_client import models

from tasb_qdrant import CollectionSettings, ingest
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.errors import (
    EncodingError,
    RejectedError,
    SettingsError,
    SourceError,
    WorkerError,
)
from tasb_qdrant.ingest.read import processes
from tasb_qdrant.ingest.read.blocks import BlockPassages, CheckedBlock, ReadingTask
from tasb_qdrant.ingest.verify import verify
from tasb_qdrant.ingest.verify.plan import plan_sync
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tasb_qdrant.processes.pool import WorkerPool
from tasb_qdrant.records import IngestReport
from tasb_qdrant.settings import PayloadKeys, Transport
from tasb_qdrant.sources import SourceReader, open_sources
from tasb_qdrant.sources.blocks import Block, line_pieces
from tasb_qdrant.sources.input import compression
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.ingest.worker_tokens import FailingFormat, Killer, stub_tokens, unsaid
from tests.qdrant_servers import QdrantServer
from tests.waiting import until


@dataclass
class Apart(StubEncoder):
    """One whose texts can be tokenized in other processes."""

    @property
    def passage_tokenizer(self) -> Callable[[Sequence[str]], TokenBatch]:
        return stub_tokens


def corpus(file: Path, count: int = 3_000, *, seed: int = 1) -> Path:
    """Passages of which some can't be stored, are there twice, or have an id that is taken, and long ones."""
    draw = random.Random(seed)
    lines: list[str] = []
    for number in range(count):
        kind = draw.random()
        if kind < 0.01:
            lines.append("{malformed")
        elif kind < 0.02:
            lines.append(json.dumps({"id": str(draw.randrange(number + 1)), "text": "another"}))
        elif kind < 0.03 and lines:
            lines.append(draw.choice(lines))
        elif kind < 0.04:
            lines.append(json.dumps({"id": f"y{number}", "text": "t", "year": "no number"}))
        else:
            title = draw.choice([None, "A title"])
            text = " ".join(f"word{draw.randrange(500)}" for _ in range(draw.randrange(1, 24)))
            lines.append(json.dumps({"id": str(number), "text": text, "title": title, "year": 1990 + number % 30}))
    file.write_text("\n".join(lines))
    return file


def _load(source: Any, store: dict[str, Any], rejects: Path | None, workers: Any, **more: Any) -> IngestReport:
    encoder = more.pop("encoder", None) or Apart()
    settings = CollectionSettings(indexes={"year": "integer", "nowhere": "keyword"})
    return ingest(
        source, collection="c", rejects=rejects, encoder=encoder, workers=workers, settings=settings, **store, **more
    )


def _said(report: IngestReport, workers: int) -> Any:
    """The report without what may differ: seconds, and the names of this test's own folders."""
    told = {
        name: value
        for name, value in report.to_dict().items()
        if "second" not in name and name not in ("notes", "stages")
    }
    text = json.dumps(told, default=str)
    return json.loads(text.replace(f"rejects-{workers}", "rejects").replace(f"store-{workers}", "store"))


def _points(store: Path) -> list[str]:
    """All that an embedded collection holds."""
    shard = edge.EdgeShard.load(str(store / "c" / "shard"))
    with closing(shard):
        records, _ = shard.scroll(edge.ScrollRequest(limit=10_000, with_payload=True, with_vector=True))
    return [_content(record) for record in records]


def _content(record: Any) -> str:
    """A point as a string: its payload's and its vectors' names come in any order."""
    vector = record.vector if not isinstance(record.vector, dict) else sorted(record.vector.items())
    return repr((record.id, sorted((record.payload or {}).items()), vector))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks, whose ends fall into windows."""
    assert line_pieces.__kwdefaults__ is not None
    monkeypatch.setitem(line_pieces.__kwdefaults__, "size", 20_000)
    monkeypatch.setattr(compression, "PIECE_BYTES", 5_000)  # a block is at least a piece


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("bm25", [False, True])
def test_what_is_stored_and_said_is_the_same(tmp_path: Path, bm25: bool) -> None:
    files = [corpus(tmp_path / "a.jsonl"), corpus(tmp_path / "b.jsonl", 300, seed=2)]
    found = []
    for workers in (1, 2) if bm25 else (1, 3):
        rejects, store = tmp_path / f"rejects-{workers}.jsonl", tmp_path / f"store-{workers}"
        load = partial(_load, files, {"path": store}, rejects, workers, bm25=bm25)
        first, again = load(), load()
        found.append((_said(first, workers), _said(again, workers), rejects.read_text(), _points(store)))
    for other in found[1:]:
        for mine, theirs in zip(other, found[0], strict=True):
            assert mine == theirs
    assert (found[0][0]["truncated"], found[0][0]["rejected"], found[0][1]["stored"]) == (985, 377, 0)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_on_a_server(qdrant_1_17: QdrantServer, collection_name: str, tmp_path: Path, transport: Transport) -> None:
    file = corpus(tmp_path / "a.jsonl", 800)
    found = []
    for workers in (1, 2):
        report = ingest(
            file,
            collection=collection_name,
            url=qdrant_1_17.url,
            grpc_port=qdrant_1_17.grpc_port,
            transport=transport,
            rejects=tmp_path / "rejects.jsonl",
            encoder=Apart(),
            workers=workers,
            bm25=True,
        )
        with closing(stored.client_of(qdrant_1_17.url)) as client:
            records, _ = client.scroll(collection_name, limit=10_000, with_payload=True, with_vectors=True)
            client.delete_collection(collection_name)
        found.append((report.stored, report.rejected, sorted(map(_content, records))))
    assert found[1] == found[0]
    assert found[0][0] > 700


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes each pool had."""
    started: list[int] = []

    class Counted(WorkerPool[Any, Any]):
        def __init__(self, tasks: Sequence[tuple[str, Any]], **options: Any) -> None:
            started.append(len(tasks))
            super().__init__(tasks, **options)

    monkeypatch.setattr(processes, "WorkerPool", Counted)
    return started


@pytest.mark.usefixtures("small_blocks")
def test_what_differs_from_a_server_is_found_and_mended_alike(
    qdrant_1_17: QdrantServer, collection_name: str, tmp_path: Path, pools: list[int]
) -> None:
    file = corpus(tmp_path / "a.jsonl", 800)
    where: dict[str, Any] = {"url": qdrant_1_17.url, "grpc_port": qdrant_1_17.grpc_port}

    def load(workers: int, **more: Any) -> IngestReport:
        options: dict[str, Any] = {**where, "encoder": Apart(), "workers": workers, **more}
        return ingest(file, collection=collection_name, rejects=tmp_path / "rejects.jsonl", **options)

    load(1)
    with closing(stored.client_of(qdrant_1_17.url)) as client:
        ids = [point.id for point in client.scroll(collection_name, limit=1_000)[0]]

        def spoil() -> None:
            client.delete(collection_name, points_selector=ids[:2] + ids[700:701])
            client.delete_vectors(collection_name, vectors=[""], points=ids[4:5])
            client.set_payload(collection_name, {"year": 1}, points=[ids[10], ids[500]])
            client.set_payload(collection_name, {"text": "another"}, points=[ids[20], ids[600]])
            client.upsert(collection_name, [models.PointStruct(id=10**6, vector=[0.0] * 8, payload={"id": "extra"})])

        found, mended, planned = [], [], []
        for workers in (1, 2):
            spoil()
            report = verify(file, collection=collection_name, sample=0, workers=workers, **where)
            found.append({**report.to_dict(), "seconds": 0, "notes": ()})
            planned.append(plan_sync(file, collection=collection_name, **where))
            loaded = load(workers, sync=True, delete_anyway=True)
            mended.append((loaded.stored, loaded.updated, loaded.skipped, loaded.deleted, loaded.rejected))
        client.delete_collection(collection_name)
    assert found[0] == found[1]
    assert planned[0] == planned[1]
    assert mended[0] == mended[1]
    assert (found[0]["missing"], found[0]["text"], found[0]["payload"], found[0]["extra"]) == (3, 2, 2, 1)
    assert (planned[0].encode, planned[0].update, planned[0].delete) == (6, 2, 1)
    assert mended[0][0:2] == (6, 2)
    assert mended[0][3] == 1
    assert pools == [2, 2, 2]  # verify, and of the synchronisation the survey and the load


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [(2, 1), (1, 3)])
def test_another_number_of_workers_resumes(tmp_path: Path, workers: tuple[int, int]) -> None:
    file = corpus(tmp_path / "a.jsonl")
    whole = _load(file, {"path": tmp_path / "whole"}, tmp_path / "r.jsonl", 1)
    where = {"path": tmp_path / "store"}
    state = tmp_path / "state"

    def fail_after_a_checkpoint(call: int) -> None:
        if call == 3:
            until(lambda: [*state.rglob("checkpoint")], "a checkpoint")
            raise RuntimeError("the power went")

    broken = Apart(before_encode=fail_after_a_checkpoint)
    with pytest.raises(RuntimeError, match="the power went"):
        _load(file, where, tmp_path / "r1.jsonl", workers[0], encoder=broken, state=state)
    encoder = Apart()
    rest = _load(file, where, tmp_path / "r2.jsonl", workers[1], encoder=encoder, state=state)
    assert stored.embedded(tmp_path / "store") == stored.embedded(tmp_path / "whole")
    assert rest.points == whole.points
    assert rest.resumed
    assert encoder.encoded < whole.stored
    assert (tmp_path / "r2.jsonl").read_text() == (tmp_path / "r.jsonl").read_text()


def test_the_first_reject_is_the_first_of_the_source(tmp_path: Path) -> None:
    file = corpus(tmp_path / "a.jsonl", 1_200, seed=5)
    said = []
    for workers in (1, 2):
        with pytest.raises(RejectedError) as caught:
            _load(file, {"path": tmp_path / "store"}, None, workers)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_worker_that_dies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = corpus(tmp_path / "a.jsonl", 600)

    monkeypatch.setattr(Apart, "passage_tokenizer", property(lambda self: Killer()))
    with pytest.raises(WorkerError, match=r"a reading worker died \(killed by signal 9, SIGKILL\).*fewer --workers"):
        _load(file, {"path": tmp_path / "store"}, tmp_path / "r.jsonl", 2)
    monkeypatch.undo()
    assert _load(file, {"path": tmp_path / "store"}, tmp_path / "r.jsonl", 2).stored > 500


@pytest.mark.parametrize(("tokenizer", "said"), [(lambda texts: stub_tokens(texts), "can't be sent"), (None, "")])
def test_a_tokenizer_that_cannot_be_sent_is_used_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any, said: str
) -> None:
    file = corpus(tmp_path / "a.jsonl", 300)
    monkeypatch.setattr(Apart, "passage_tokenizer", property(lambda self: tokenizer or stub_tokens))
    encoder = Apart()
    report = _load(file, {"path": tmp_path / "store"}, tmp_path / "r.jsonl", 2, encoder=encoder)
    assert (encoder.tokenized > 0) == bool(said)
    assert any("tokenized by one process" in note for note in report.notes) == bool(said)


@pytest.mark.usefixtures("small_blocks")
def test_nothing_is_read_after_a_failure(tmp_path: Path) -> None:
    task = ReadingTask(names=("a",), formats=(FailingFormat(700),), keys=PayloadKeys(), integer_ids="u53", indexes={})
    pool: WorkerPool[Block, CheckedBlock] = WorkerPool([("a reading worker", task)] * 2, fewer="", elsewhere="")
    read: list[int] = []
    failing = pytest.raises(SourceError, match="701: a damaged part")
    with open_sources([corpus(tmp_path / "a.jsonl")]) as reader, closing(pool), failing:
        read.extend(line for _, block in BlockPassages(reader, pool, processes=2).checked() for line in block.lines)
    assert read == list(range(1, 701))


@pytest.mark.usefixtures("small_blocks")
def test_what_comes_after_a_failure_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = corpus(tmp_path / "a.jsonl")
    monkeypatch.setattr(SourceReader, "block_formats", property(lambda self: (FailingFormat(700),)))
    with pytest.raises(SourceError, match=r"a\.jsonl:701: a damaged part"):
        _load(file, {"path": tmp_path / "store"}, tmp_path / "r.jsonl", 2)
    # Whether the window before it was stored is a matter of time; a collection without any passage is deleted again.
    there = (tmp_path / "store" / "c" / "shard").exists()
    found = set(stored.embedded(tmp_path / "store")) if there else set()
    assert found <= {str(number) for number in range(WINDOW_SIZE)}


def test_a_tokenizer_must_say_what_it_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = corpus(tmp_path / "a.jsonl", 300)
    monkeypatch.setattr(Apart, "passage_tokenizer", property(lambda self: unsaid))
    with pytest.raises(EncodingError, match="--workers 1"):
        _load(file, {"path": tmp_path / "store"}, tmp_path / "r.jsonl", 2)


def test_what_can_not_be_divided_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\na,"two\nlines"\n')
    report = ingest(tmp_path / "a.csv", collection="c", path=tmp_path / "store", encoder=StubEncoder(), workers=2)
    assert report.stored == 1
    assert any("read by one process" in note for note in report.notes)


@pytest.mark.parametrize("workers", [0, -1, True, "2", 1.5])
def test_numbers_that_are_none(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(SettingsError, match="workers"):
        ingest([], collection="c", path=tmp_path / "store", encoder=StubEncoder(), workers=workers)
