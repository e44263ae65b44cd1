"""What `on_progress` is told, when, and in which thread."""

from __future__ import annotations

import threading
from collections.abc import Generator
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tasb_qdrant.collection.info import OptimizeProgress
from tasb_qdrant.ingest import ingest, progress
from tasb_qdrant.ingest.progress import TELL_SECONDS, Counters, Progress
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder

COUNTS = ("read", "encoded", "stored", "updated", "skipped", "rejected", "truncated", "tokens", "bytes_read", "seconds")


def told_by(source: object, path: Path, **options: object) -> tuple[list[Progress], object]:
    told: list[Progress] = []
    threads: set[int] = set()

    def on_progress(now: Progress) -> None:
        told.append(now)
        threads.add(threading.get_ident())

    report = ingest(source, collection="c", path=path, encoder=StubEncoder(), on_progress=on_progress, **options)  # type: ignore[arg-type]
    assert threads == {threading.get_ident()}
    assert (told[-1].read, told[-1].stored, told[-1].skipped, told[-1].rejected) == (
        report.read,
        report.stored,
        report.skipped,
        report.rejected,
    )
    assert (told[-1].truncated, told[-1].tokens) == (report.truncated, report.tokens)
    assert round(told[-1].seconds, 3) == report.seconds
    return told, report


def test_phases_come_in_order_counts_only_rise_and_the_last_is_the_report(tmp_path: Path) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(3_000))
    with source.open("a") as file:
        file.write("no json\n" * 5)
    told, _ = told_by(source, tmp_path / "s", rejects=tmp_path / "r")
    phases = [phase for phase, _ in groupby(now.phase for now in told)]
    assert phases == [
        "opening the source",
        "connecting",
        "encoding",
        "looking for other loads",
        "building the vector index",
        "looking at what is stored",
        "done",
    ]
    for before, after in pairwise(told):
        assert all(getattr(before, name) <= getattr(after, name) for name in COUNTS)
    fractions = [now.fraction for now in told if now.bytes_total]
    assert all(fraction is not None and 0 <= fraction <= 1 for fraction in fractions)
    assert fractions[-1] == 1
    assert told[-1].bytes_read == told[-1].bytes_total == source.stat().st_size
    again, _ = told_by(source, tmp_path / "s", rejects=tmp_path / "r")
    assert again[-1].fraction == 1
    assert again[-1].skipped == 3_000


def test_a_stream_has_no_fraction(tmp_path: Path) -> None:
    told, _ = told_by(iter(stored.numbered(10)), tmp_path)
    assert {now.fraction for now in told} == {None}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (Progress(), None),
        (Progress(bytes_total=0), None),
        (Progress(bytes_read=50, bytes_total=100), 0.0),
        (Progress(read=10, encoded=5, bytes_read=50, bytes_total=100), 0.25),
        (Progress(read=10, encoded=4, skipped=4, rejected=2, bytes_read=100, bytes_total=100), 1.0),
        (Progress(read=10, encoded=4, updated=4, rejected=2, bytes_read=100, bytes_total=100), 1.0),
        (Progress(read=10, encoded=10, bytes_read=150, bytes_total=100), 1.0),  # a file that grew
    ],
)
def test_the_fraction_is_of_the_source_that_has_been_dealt_with(now: Progress, expected: float | None) -> None:
    assert now.fraction == expected


def test_it_is_told_ten_times_a_second_at_most_but_a_new_phase_at_once() -> None:
    now = [0.0]
    told: list[Progress] = []
    counters = Counters(on_progress=told.append, clock=lambda: now[0])
    counters.phase("encoding")
    for _ in range(1_000):
        now[0] += TELL_SECONDS / 8
        counters.encoded(1)
    assert 110 <= len(told) <= 127
    counters.phase("building the vector index")
    assert told[-1].phase == "building the vector index"
    assert told[-1].encoded == 1_000
    before = len(told)
    counters.phase("building the vector index", OptimizeProgress(10, 5, "the vector index"))
    assert len(told) == before
    now[0] += 2 * TELL_SECONDS
    counters.phase("building the vector index", OptimizeProgress(10, 7, "the vector index"))
    assert told[-1].index == OptimizeProgress(10, 7, "the vector index")
    last = counters.finish()
    assert last == told[-1]
    assert (last.phase, last.index, last.encoded) == ("done", None, 1_000)


def test_counting_in_another_thread_tells_nobody_there() -> None:
    now = [0.0]
    told: list[int] = []
    counters = Counters(on_progress=lambda _: told.append(threading.get_ident()), clock=lambda: now[0])
    now[0] = 1.0
    thread = threading.Thread(target=counters.encoded, args=(5,))
    thread.start()
    thread.join()
    assert told == []
    counters.tell()
    assert told == [threading.get_ident()]
    assert counters.snapshot().encoded == 5


def test_the_time_that_a_stage_is_busy_counts_for_it() -> None:
    now = [0.0]
    counters = Counters(clock=lambda: now[0])

    def items() -> Generator[int, None, None]:
        for number in range(3):
            now[0] += 2.0
            yield number

    for _ in counters.timed("read", items()):
        now[0] += 5.0
    assert counters.stages == {"read": 6.0}


def test_rates_are_true_from_the_start_however_far_ahead_tokenizing_is() -> None:
    """Ten windows of 100 passages and 5,000 tokens, a second each; all of them are tokenized before one is encoded."""
    now = [0.0]
    told: list[Progress] = []
    counters = Counters(on_progress=told.append, clock=lambda: now[0])
    now[0] = 60.0  # opening the source and the model
    with counters.loading():
        for _ in range(10):
            with counters.encoding(100, 5_000) as count:
                for _ in range(4):
                    now[0] += 0.25
                    count(25)
    assert len(told) > 40
    for moment in told:
        if moment.encoded:
            assert moment.passages_per_second == pytest.approx(100)
            assert moment.tokens_per_second == pytest.approx(5_000)
    assert (told[-1].encoded, told[-1].tokens) == (1_000, 50_000)


def test_tokens_of_passages_that_are_not_encoded_yet_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.0)  # a quick machine is done before anything would be told
    told, report = told_by(stored.numbered(4_000), tmp_path)
    each = report.tokens / 4_000  # type: ignore[attr-defined]  # all passages have as many words
    assert any(0 < now.encoded < 4_000 for now in told)
    assert all(now.tokens == pytest.approx(now.encoded * each) for now in told)


def test_an_encoder_that_tells_too_little_or_too_much_counts_right() -> None:
    counters = Counters()
    with counters.encoding(10, 70):
        pass
    with counters.encoding(3, 20) as count:
        count(2)
        count(2)
    now = counters.snapshot()
    assert (now.encoded, now.tokens) == (13, 90)


def test_loading_the_model_within_the_load_does_not_count_for_the_rates() -> None:
    now = [0.0]
    told: list[Progress] = []
    counters = Counters(on_progress=told.append, clock=lambda: now[0])
    with counters.loading():
        now[0] += 1.0
        with counters.aside("loading the model"):
            now[0] += 30.0
        with counters.encoding(100, 700) as count:
            now[0] += 1.0
            count(100)
    assert [phase for phase, _ in groupby(moment.phase for moment in told)] == [
        "encoding", "loading the model", "encoding",
    ]  # fmt: skip
    assert told[-1].passages_per_second == pytest.approx(50)
    assert counters.snapshot().loading_seconds == pytest.approx(2)
