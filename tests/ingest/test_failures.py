"""A failure in any stage: its cause is what the caller sees, no thread is left, and the next run goes on."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasb_qdrant.collection import open as opening
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.errors import CollectionError, EncodingError, InvalidInputError, ServerBusyError, SourceError
from tasb_qdrant.ingest import ingest, pipeline
from tasb_qdrant.ingest.flow import JOIN_SECONDS, Channel, Flow
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.records import ModelContract, Passage
from tests.ingest.fakes import FaultyCollection, StubEncoder, fail_at
from tests.waiting import PATIENCE

COUNT = 20_000
"""More than the stages and queues between them hold, so that each of them is in its wait for another."""


@pytest.fixture(autouse=True)
def _no_deadlock_and_no_thread_left() -> Iterator[None]:
    faulthandler.dump_traceback_later(60, exit=True)
    before = set(threading.enumerate())
    yield
    left = [t for t in set(threading.enumerate()) - before if t.name.startswith("tasb-qdrant")]
    faulthandler.cancel_dump_traceback_later()
    assert left == []


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FaultyCollection]]:
    """Puts a FaultyCollection around the one that `ingest` opens."""

    def install(
        *, before_upsert: Callable[[int], None] | None = None, before_close: Callable[[], None] | None = None
    ) -> list[FaultyCollection]:
        made: list[FaultyCollection] = []
        real = opening.open_for_writing

        def open_faulty(name: str, store: Store, *, contract: ModelContract, **options: Any) -> Collection:
            inner = real(name, store, contract=contract, **options)
            made.append(FaultyCollection(inner, before_upsert=before_upsert, before_close=before_close))
            return made[-1]

        monkeypatch.setattr(opening, "open_for_writing", open_faulty)
        return made

    return install


def passages(count: int = COUNT) -> Iterator[Passage]:
    """Made as they are asked for: most of these runs end early."""
    return (Passage(str(n), f"passage number {n}") for n in range(count))


def check_resumable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    report = ingest(passages(1_100), collection="c", path=path, encoder=StubEncoder(), optimize=False)
    assert report.verified
    assert report.points >= 1_100
    assert report.stored + report.skipped == 1_100


def broken_source(error: BaseException) -> Iterator[Passage]:
    yield from passages(1_500)
    raise error


@pytest.mark.parametrize(
    "error", [SourceError("gone", source="f", line=1501), ValueError("a bug"), SystemExit(3), KeyboardInterrupt()]
)
def test_a_reader_that_raises_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        ingest(broken_source(error), collection="c", path=tmp_path, encoder=StubEncoder())
    assert caught.value is error
    check_resumable(tmp_path, monkeypatch)


def test_a_tokenizer_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = InvalidInputError("no such text")
    encoder = StubEncoder(before_tokenize=fail_at(2, error))
    with pytest.raises(InvalidInputError) as caught:
        ingest(passages(), collection="c", path=tmp_path, encoder=encoder)
    assert caught.value is error
    check_resumable(tmp_path, monkeypatch)


@pytest.mark.parametrize("call", [0, 3])
def test_an_encoder_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    error = EncodingError("not finite", index=3)
    with pytest.raises(EncodingError) as caught:
        ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder(before_encode=fail_at(call, error)))
    assert caught.value is error
    check_resumable(tmp_path, monkeypatch)


def _with_nan(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors[17, 3] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_with_nan, "the vector of passage '17' is not finite"),
        (lambda vectors: vectors[:-1], "expected one vector for each of 512 passages"),
        (lambda vectors: np.concatenate([vectors, vectors]), "expected one vector for each of 512 passages"),
        (lambda vectors: vectors.astype(np.float64), "must be float32"),
        (lambda vectors: vectors[:, :-1], "expected vectors of 8 numbers"),
        (lambda vectors: vectors.reshape(-1), "expected one vector for each"),
    ],
)
def test_vectors_that_cannot_be_right_are_never_stored(
    tmp_path: Path, spoil: Callable[[NDArray[np.float32]], NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(EncodingError, match=message):
        ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder(spoil=spoil))
    assert not (tmp_path / "c").exists()


def test_misaligned_vectors_are_refused_before_the_first_of_several_requests(tmp_path: Path) -> None:
    long = [Passage(str(n), f"{n} " + "word " * 1_000_000) for n in range(3)]  # 5 MB each: a request for each
    with pytest.raises(EncodingError, match="expected one vector for each of"):
        ingest(long, collection="c", path=tmp_path, encoder=StubEncoder(spoil=lambda vectors: vectors[:-1]))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("number", [0, 1, 5])
def test_an_upload_that_fails_in_one_of_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrap: Callable[..., list[FaultyCollection]], number: int
) -> None:
    error = ServerBusyError("no more")
    made = wrap(before_upsert=fail_at(number, error))
    with pytest.raises(ServerBusyError) as caught:
        ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder())
    assert caught.value is error
    assert made[0].closed == 1
    check_resumable(tmp_path, monkeypatch)


def test_the_first_of_several_failing_uploads_is_the_one_that_is_raised(
    tmp_path: Path, wrap: Callable[..., list[FaultyCollection]]
) -> None:
    together = threading.Barrier(3)
    failed = threading.Event()
    first = CollectionError("the first")

    def fail(number: int) -> None:
        if number < 3:  # a place may be free for another before the run is known to have ended
            together.wait(PATIENCE)
        if number == 0:
            # Flow.fail comes after the raise; the others fail when the run is known to have ended.
            raise first
        failed.wait(PATIENCE)
        raise CollectionError(f"a later one, {number}")

    real = Flow.fail

    def noted(self: Flow, error: BaseException) -> None:
        real(self, error)
        failed.set()

    wrap(before_upsert=fail)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flow, "fail", noted)
        with pytest.raises(CollectionError) as caught:
            ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder())
    assert caught.value is first


def test_an_encoder_that_fails_after_an_upload_failed_does_not_hide_it(
    tmp_path: Path, wrap: Callable[..., list[FaultyCollection]]
) -> None:
    failed = threading.Event()
    error = CollectionError("the disk is full")

    class Late(Flow):
        def fail(self, error: BaseException) -> None:
            super().fail(error)
            failed.set()

    def then_fail(call: int) -> None:
        if call == 1:
            failed.wait(PATIENCE)
            raise EncodingError("a second failure")

    wrap(before_upsert=fail_at(0, error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "Flow", Late)
        with pytest.raises(CollectionError) as caught:
            ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder(before_encode=then_fail))
    assert caught.value is error


def test_an_interrupt_is_raised_as_such_even_after_a_failure(
    tmp_path: Path, wrap: Callable[..., list[FaultyCollection]]
) -> None:
    failed = threading.Event()
    wrap(before_upsert=lambda number: failed.set())

    def interrupt(call: int) -> None:
        if call == 1:
            failed.wait(PATIENCE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder(before_encode=interrupt))


def test_a_collection_that_cannot_be_closed_does_not_hide_what_failed_before(
    tmp_path: Path, wrap: Callable[..., list[FaultyCollection]]
) -> None:
    error = CollectionError("the disk is full")

    def closing() -> None:
        raise CollectionError("can't be closed either")

    wrap(before_upsert=fail_at(0, error), before_close=closing)
    with pytest.raises(CollectionError) as caught:
        ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder())
    assert caught.value is error
    assert caught.value.__notes__ == ["closing failed, too: can't be closed either"]


def test_a_failure_to_close_alone_is_told(tmp_path: Path, wrap: Callable[..., list[FaultyCollection]]) -> None:
    def closing() -> None:
        raise CollectionError("can't be closed")

    wrap(before_close=closing)
    with pytest.raises(CollectionError, match="can't be closed"):
        ingest(passages(3), collection="c", path=tmp_path, encoder=StubEncoder())


@pytest.mark.parametrize("phase", ["opening the source", "connecting", "encoding", "building the vector index", "done"])
def test_on_progress_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    error = RuntimeError("the bar broke")
    optimize = phase.startswith("building")

    def on_progress(now: Progress) -> None:
        if now.phase == phase and (phase != "encoding" or now.encoded):
            raise error

    with pytest.raises(RuntimeError) as caught:
        ingest(
            passages(), collection="c", path=tmp_path, encoder=StubEncoder(), on_progress=on_progress, optimize=optimize
        )
    assert caught.value is error
    check_resumable(tmp_path, monkeypatch)


def test_a_reader_that_never_comes_back_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_READER_SECONDS", 0.2)
    go_on = threading.Event()

    def silent() -> Iterator[Passage]:
        yield from passages(1_024)
        go_on.wait(PATIENCE)

    error = EncodingError("broken")
    with pytest.raises(EncodingError) as caught:
        ingest(silent(), collection="c", path=tmp_path, encoder=StubEncoder(before_encode=fail_at(1, error)))
    assert caught.value is error
    # The collection is closed and free, although the reader still waits.
    check_resumable(tmp_path, monkeypatch)
    readers = [t for t in threading.enumerate() if t.name == "tasb-qdrant read"]
    go_on.set()
    for thread in readers:
        thread.join(PATIENCE)


def test_stages_that_hang_are_left_behind_together_after_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    now = [0.0]

    class Hanging(threading.Thread):
        def start(self) -> None:
            self._ident = 1

        def join(self, timeout: float | None = None) -> None:
            waits.append(timeout or 0.0)
            now[0] += timeout or 0.0

    monkeypatch.setattr(threading, "Thread", Hanging)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def run() -> None:
        with Flow() as flow:
            for name in ("a", "b", "c"):
                flow.spawn(name, lambda: None)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        run()
    assert waits == [JOIN_SECONDS, 0.0, 0.0]


def test_a_channel_ends_for_each_of_its_consumers_and_hands_on_each_item_once() -> None:
    got: list[int] = []
    with Flow() as flow:
        channel: Channel[int] = flow.channel(2)
        for name in "abc":
            flow.spawn(name, lambda: got.extend(channel))
        for number in range(100):
            channel.put(number)
        channel.close()
        flow.join(waiting=lambda: None)
    assert sorted(got) == list(range(100))
