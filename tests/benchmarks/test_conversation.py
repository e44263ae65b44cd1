"""The runner and a contestant understand each other, and a contestant's failure is its last line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.encoding.environments import SCRIPTS
from benchmarks.encoding.turns import vectors_of
from benchmarks.running.conversation import ContestantFailedError, Conversation


def talk_to(variant: str, folder: Path, *, patience: float = 60) -> Conversation:
    settings = {"model": "m", "device": "cpu", "exports": "", "variant": variant}
    command = [sys.executable, str(SCRIPTS / "serving.py"), "fake_contestant", json.dumps(settings)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return Conversation(command, log=folder / "fake.log", environment=environment, patience=patience)


def test_a_contestant_loads_answers_queries_and_gives_its_vectors_in_a_file(tmp_path: Path) -> None:
    with talk_to("well", tmp_path) as conversation:
        assert conversation.ask(do="load", threads=1)["seconds"] >= 0
        assert len(conversation.ask(do="queries", texts=["a", "b", "c"])["milliseconds"]) == 3
        found = vectors_of(conversation, ["abc", "é\n"], batch=7, folder=tmp_path)
        np.testing.assert_array_equal(found, [[3, 7], [2, 7]])
        assert found.dtype == np.float32
        assert conversation.ask(do="environment")["packages"]["numpy"] == np.__version__


def test_memory_is_told_and_bulk_is_part_of_the_whole(tmp_path: Path) -> None:
    with talk_to("well", tmp_path) as conversation:
        conversation.ask(do="load", threads=0)
        answer = conversation.ask(do="passages", texts=["abc"] * 1000, batch=0)
        assert answer["peak_mib"] >= answer["bulk_mib"]
        assert answer["gpu_mib"] == 0
        assert answer["bulk_mib"] > 1 or not Path("/proc/self/status").exists()


def test_requests_larger_than_a_pipe_arrive(tmp_path: Path) -> None:
    with talk_to("well", tmp_path) as conversation:
        found = vectors_of(conversation, ["x" * 1_000_000] * 3, batch=1, folder=tmp_path)
    assert found[:, 0].tolist() == [1_000_000] * 3


def test_what_a_library_prints_goes_to_the_log_and_not_between_the_answers(tmp_path: Path) -> None:
    with talk_to("well", tmp_path) as conversation:
        conversation.ask(do="load", threads=0)
    assert "loading, on stdout" in (tmp_path / "fake.log").read_text()


def test_an_exception_is_told_with_its_last_line_and_the_conversation_goes_on(tmp_path: Path) -> None:
    with talk_to("broken", tmp_path) as conversation:
        with pytest.raises(ContestantFailedError, match=r"^OSError: no weights here$"):
            conversation.ask(do="load", threads=0)
        with pytest.raises(ContestantFailedError, match=r"^ValueError: no request 'sing'$"):
            conversation.ask(do="sing")


def test_the_last_words_of_a_process_that_died_are_told(tmp_path: Path) -> None:
    with talk_to("dead", tmp_path) as conversation:
        with pytest.raises(ContestantFailedError, match=r"^Illegal instruction$"):
            conversation.ask(do="load", threads=0)
        with pytest.raises(ContestantFailedError, match=r"^Illegal instruction$"):
            conversation.ask(do="load", threads=0)


def test_a_contestant_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.readline(); sys.stdin.readline()"]
    with (
        Conversation(command, log=tmp_path / "log", environment=os.environ, patience=0.2) as conversation,
        pytest.raises(ContestantFailedError, match=r"^no answer within 0 s$"),
    ):
        conversation.ask(do="load", threads=0)
