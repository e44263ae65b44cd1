"""The harness finds what it is there to find: faults planted in the program itself."""

from __future__ import annotations

import signal

import pytest

from tests.faults.case import Case, Verdict
from tests.faults.points import names
from tests.faults.rig import Rig
from tests.faults.trial import Trial

CASE = Case("planted", 0, 0)


def planted(rig: Rig, what: str, store: str = "grpc", *, seconds: float = 30.0) -> Verdict:
    """The verdict on a run in which one batch goes wrong in this way."""
    with Trial(rig, CASE) as trial:
        command = trial.command(store)
        run = trial.start(command, [{"hook": "tests.faults.planted:plant", "what": what}])
        trial.again(command, first=trial.finish(run, seconds=seconds))
    return trial.verdict


@pytest.mark.slow
def test_an_undisturbed_run_is_found_to_be_well(rig: Rig) -> None:
    for store in ("embedded", "grpc", "rest"):
        with Trial(rig, CASE) as trial:
            command = trial.command(store, optimize=True)
            trial.again(command, first=trial.finish(trial.start(command)))
            trial.check_acked(command)
            assert len(set(command.target.stored())) == 400
        assert trial.verdict.ok, str(trial.verdict)


@pytest.mark.parametrize("store", ["embedded", "grpc"])
@pytest.mark.parametrize("what", ["another payload", "another vector"])
def test_a_point_with_other_content_is_wrong_and_its_run_a_lie(rig: Rig, store: str, what: str) -> None:
    verdict = planted(rig, what, store)
    assert verdict.wrong > 0
    assert verdict.silent == 1
    assert not verdict.ok


@pytest.mark.parametrize("store", ["embedded", "rest"])
def test_a_batch_that_is_not_under_its_ids_is_lost(rig: Rig, store: str) -> None:
    verdict = planted(rig, "other ids", store)
    assert verdict.lost == verdict.wrong == 8
    assert verdict.silent == 1


def test_a_batch_that_was_acknowledged_and_not_stored_is_lost(rig: Rig) -> None:
    with Trial(rig, CASE) as trial:
        command = trial.command("embedded")
        plant = {"hook": "tests.faults.planted:plant", "what": "a batch not stored"}
        strike = {"hook": "strike", "point": "acked", "nth": 20, "action": "kill"}
        assert trial.finish(trial.start(command, [plant, strike])) == -signal.SIGKILL
        trial.check_acked(command)
    assert trial.verdict.lost == 8


def test_the_key_is_found_wherever_a_run_writes_it(rig: Rig) -> None:
    assert planted(rig, "the key on stderr").secrets == 1


def test_a_run_that_does_not_end_is_a_hang(rig: Rig) -> None:
    verdict = planted(rig, "a hang", "embedded", seconds=2.0)
    assert verdict.hangs == 1
    assert verdict.lost == 0  # the next run was well


def test_a_traceback_is_a_problem(rig: Rig) -> None:
    assert any("ZeroDivisionError" in problem for problem in planted(rig, "a bug").problems)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["embedded", "grpc"])
def test_an_undisturbed_run_reaches_every_named_point(rig: Rig, store: str) -> None:
    assert set(rig.census(store)) == set(names("embedded" if store == "embedded" else "server"))
