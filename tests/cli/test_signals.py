"""SIGINT and SIGTERM end a run in good order, in time whatever hangs, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasb_qdrant.cli.signals import PATIENCE_SECONDS
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.resume.journal import STATE_FOLDER
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.models import make_tasb_like
from tests.qdrant_servers import QdrantServer
from tests.waiting import PATIENCE, sooner_than, until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COUNT = 40 * WINDOW_SIZE
SAID = "Interrupted. What was stored stays stored; run the same again to go on."


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.write_jsonl(tmp_path_factory.mktemp("source") / "p.jsonl", stored.numbered(COUNT))


@contextmanager
def started(how: str, *arguments: str | Path, patience: float = PATIENCE_SECONDS) -> Iterator[subprocess.Popen[str]]:
    """The run, in a process group of its own, when it encodes the fourth window.

    `patience` is how long it would wait for its stages to end.
    """
    command = [sys.executable, "-m", "tests.cli.interrupted", how, str(patience), "ingest", *map(str, arguments)]
    with subprocess.Popen(
        [*command, "--collection", "c", "--no-optimize"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            assert run.stdout is not None
            said = run.stdout.readline()
            assert said == "window 3\n", run.communicate()
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)


def ended(run: subprocess.Popen[str], number: int) -> str:
    """Send the signal; the last line. The exit status must be 130."""
    run.send_signal(number)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, err
    last: str = err.strip().splitlines()[-1]
    return last


def until_there_is_a_checkpoint(store: Path) -> None:
    until(lambda: [*(store / STATE_FOLDER).glob("c-*/checkpoint")], "there is a checkpoint")


def check_goes_on(source: Path, store: Path) -> None:
    """What is stored is in a checkpoint, and the next run completes it."""
    assert list((store / STATE_FOLDER).glob("c-*/checkpoint"))
    there = len(stored.embedded(store))
    report = ingest(source, collection="c", path=store, encoder=StubEncoder(), optimize=False)
    assert report.resumed["windows"] >= 3
    assert report.skipped == there
    assert report.points == report.points_expected == COUNT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint_of_all_that_is_stored(
    tmp_path: Path, source: Path, number: int
) -> None:
    store = tmp_path / "store"
    with started("slow", source, "--path", store) as run:
        said = ended(run, number)
    assert said == SAID
    there = len(stored.embedded(store))
    report = ingest(source, collection="c", path=store, encoder=StubEncoder(), optimize=False)
    assert report.resumed["points"] == there
    assert report.points == report.points_expected == COUNT


def test_a_killed_run_goes_on_from_its_last_checkpoint_and_sends_nothing_twice(tmp_path: Path, source: Path) -> None:
    store = tmp_path / "store"
    with started("slow", source, "--path", store) as run:
        until_there_is_a_checkpoint(store)
        run.kill()
        run.communicate()
    there = len(stored.embedded(store))
    encoder = StubEncoder()
    report = ingest(source, collection="c", path=store, encoder=encoder, optimize=False)
    assert report.resumed["windows"] >= 1
    assert encoder.encoded == report.stored == COUNT - there
    assert report.points == report.points_expected == COUNT


def test_an_encoder_that_does_not_come_back_is_left_in_time(tmp_path: Path, source: Path) -> None:
    store = tmp_path / "store"
    with started("stuck", source, "--path", store) as run:
        until_there_is_a_checkpoint(store)  # of the windows before the one in which it is stuck
        began = time.monotonic()
        said = ended(run, signal.SIGTERM)
    assert time.monotonic() - began >= PATIENCE_SECONDS
    assert said == SAID
    check_goes_on(source, store)


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path, source: Path) -> None:
    store = tmp_path / "store"
    with started("stuck", source, "--path", store, patience=3600.0) as run, sooner_than(3600):
        until_there_is_a_checkpoint(store)
        run.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(0.5)  # it is stuck
        assert ended(run, signal.SIGINT) == SAID
    check_goes_on(source, store)


def test_a_run_that_nobody_listens_to_ends_in_time_too(tmp_path: Path, source: Path) -> None:
    with started("slow", source, "--path", tmp_path / "store") as run:
        _fill(Path(f"/proc/{run.pid}/fd/2"))
        # Until it waits to say how far it is: nothing tells, and if it is too early for that, it ends all the same.
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE) == 130  # nobody ever reads: without its own patience it would never end


def test_a_frozen_server_does_not_hold_up_the_end(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    with QdrantServer.start("1.17.0", tmp_path / "server") as server:
        store = ("--url", server.url, "--grpc-port", str(server.grpc_port))
        with started("slow", source, *store) as run:
            until(lambda: [*(tmp_path / "home").rglob("checkpoint")], "there is a checkpoint")
            server.pause()
            assert ended(run, signal.SIGINT) == SAID  # frozen for good: without its own patience it would never end
            server.resume()
        report = ingest(
            source, collection="c", url=server.url, grpc_port=server.grpc_port, encoder=StubEncoder(), optimize=False
        )
        assert report.resumed["windows"] >= 1
        assert report.points == report.points_expected == COUNT


def test_a_pipe_in_which_nothing_comes_does_not_hold_up_the_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    lines = stored.write_jsonl(tmp_path / "lines", stored.numbered(4 * WINDOW_SIZE)).read_bytes()
    done = threading.Event()

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(lines)
            file.flush()
            done.wait(PATIENCE)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with started("slow", pipe, "--path", tmp_path / "store") as run:
            assert ended(run, signal.SIGTERM) == SAID
            assert not done.is_set()  # the pipe is silent and open still
    finally:
        done.set()
        writer.join()


def test_worker_processes_end_with_the_run(tmp_path: Path, source: Path) -> None:
    model = make_tasb_like(tmp_path / "model", layers=1, dim=32, heads=2, hidden=64)
    command = [sys.executable, "-m", "tasb_qdrant", "ingest", str(source), "--collection", "c", "--no-optimize"]
    command += ["--path", str(tmp_path / "store"), "--model", str(model), "--device", "cpu,cpu"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        try:
            assert run.stderr is not None
            for line in run.stderr:
                if line.startswith("encoding"):
                    break
            workers = _children(run.pid)
            assert len(workers) >= 2
            os.killpg(run.pid, signal.SIGTERM)  # as a service manager does: the workers get it, too
            _, err = run.communicate(timeout=PATIENCE)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130, err
    assert err.strip().splitlines()[-1] == SAID
    until(lambda: not any(_is_alive(worker) for worker in workers), "the workers end")


def _children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    tasks = listed.parents[1].iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _fill(pipe: Path) -> None:
    """Write to the pipe until nothing more goes in."""
    descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(descriptor, b".")
    except BlockingIOError:
        os.close(descriptor)


RENAMED = """
import signal
from tasb_qdrant.cli.signals import ending_in_time
try:
    with ending_in_time():
        try:
            {send}
        except KeyboardInterrupt:
            pass
        raise RuntimeError("a library's own")
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("send", "raised"), [("signal.raise_signal(signal.SIGTERM)", "KeyboardInterrupt"), ("pass", "RuntimeError")]
)
def test_an_error_that_a_library_makes_of_the_interrupt_is_an_interrupt_and_no_other(send: str, raised: str) -> None:
    # In a process of its own: what has had the signal ends within seconds.
    command = [sys.executable, "-c", RENAMED.format(send=send)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == f"{raised}\n"
