"""Ctrl-C, as a terminal sends it, through the command line."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.errors import EncodingError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at
from tests.models import make_tasb_like
from tests.waiting import PATIENCE

LINES = b"".join(
    orjson.dumps({"id": str(n), "text": f"passage {n}", "pad": "x" * 60}, option=orjson.OPT_APPEND_NEWLINE)
    for n in range(2 * WINDOW_SIZE + 100)
)
"""Two windows and a piece of a third; more than the 64 KiB that a source is judged by."""

RUN = """
import runpy, sys
from tasb_qdrant.ingest import display as progress
progress.PLAIN_SECONDS = 0.0  # a line of progress at each moment, and not every ten seconds
sys.argv[0] = "tasb-qdrant"
runpy.run_module("tasb_qdrant", run_name="__main__")
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tasb_like(tmp_path_factory.mktemp("model"), layers=1, dim=32, heads=2, hidden=64)


def test_ctrl_c_while_a_pipe_is_silent_ends_the_run_and_keeps_what_was_stored(tmp_path: Path, model: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-c", RUN, "ingest", "-", "--format", "jsonl"]
    command += ["--collection", "c", "--path", str(store), "--model", str(model), "--device", "cpu"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdin.write(LINES)  # and nothing more, but the pipe stays open
        said = b""
        while b"1,024 stored" not in said:
            more = run.stderr.readline()
            assert more, said
            said += more
        run.send_signal(signal.SIGINT)
        code = run.wait(PATIENCE)  # the pipe stays silent and open: nothing else ends it
        last = run.stderr.read().decode()
    assert code == 130, last
    assert last.strip() == "Interrupted. What was stored stays stored; run the same again to go on."
    there = stored.embedded(store)
    assert set(there) == {str(n) for n in range(2 * WINDOW_SIZE)}

    source = tmp_path / "p.jsonl"
    source.write_bytes(LINES)
    report = ingest(source, collection="c", path=store, encoder=load_encoder(model, device="cpu"), optimize=False)
    assert (report.stored, report.skipped) == (100, 2 * WINDOW_SIZE)
    assert report.verified


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_while_a_pipe_is_silent_ends_the_reader_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    reading, writing = os.pipe()
    error = EncodingError("broken")
    with os.fdopen(writing, "wb", buffering=0) as pipe, io.TextIOWrapper(os.fdopen(reading, "rb")) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        sender = threading.Thread(target=pipe.write, args=(LINES,))
        sender.start()
        with pytest.raises(EncodingError) as caught:
            ingest(
                "-",
                format="jsonl",
                collection="c",
                path=tmp_path,
                encoder=StubEncoder(before_encode=fail_at(1, error)),
                workers=workers,
            )
        sender.join()
        assert caught.value is error
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("tasb-qdrant")]
        # What comes now belongs to whoever reads next.
        pipe.write(b"later\n")
        assert stdin.buffer.readline().endswith(b"later\n")


def test_standard_input_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "p.jsonl"
    source.write_bytes(LINES)
    with source.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        report = ingest("-", format="jsonl", collection="c", path=tmp_path / "s", encoder=StubEncoder(), optimize=False)
    assert report.stored == 2 * WINDOW_SIZE + 100
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES)))  # no file at all
    report = ingest("-", format="jsonl", collection="c", path=tmp_path / "s", encoder=StubEncoder(), optimize=False)
    assert report.skipped == 2 * WINDOW_SIZE + 100
