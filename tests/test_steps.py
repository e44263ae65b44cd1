"""Both drivers answer the same steps in the same way, and end them at one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tasb_qdrant.errors import RequestRefusedError, SearchTimeoutError
from tasb_qdrant.steps import (
    NEVER,
    Deadline,
    EncodeQueries,
    Requests,
    Step,
    Steps,
    StoreSteps,
    Work,
    carry_out,
    carry_out_async,
    together,
    work,
)

Drive = Callable[[Steps[Any], Callable[[Step], Any], Deadline], Any]


def waiting(steps: Steps[Any], answer: Callable[[Step], Any], deadline: Deadline = NEVER) -> Any:
    return carry_out(steps, lambda step, _: answer(step), deadline)


def awaiting(steps: Steps[Any], answer: Callable[[Step], Any], deadline: Deadline = NEVER) -> Any:
    async def carry(step: Step, _: Deadline) -> Any:
        await asyncio.sleep(0)
        return answer(step)

    return asyncio.run(carry_out_async(steps, carry, deadline))


@pytest.fixture(params=[waiting, awaiting])
def drive(request: pytest.FixtureRequest) -> Any:
    return request.param


def asking() -> Steps[list[Any]]:
    """A plan that goes through a store's steps, as searches do."""
    [vector] = yield EncodeQueries(["q"])
    points = yield from reading(vector)
    return [*points, (yield from work(lambda: "worked"))]


def reading(vector: str) -> Steps[list[Any]]:
    (found,) = yield Requests([f"near {vector}"])
    return [found]


def answer(step: Step) -> Any:
    match step:
        case EncodeQueries(queries):
            return [f"vector of {query}" for query in queries]
        case Requests(requests):
            return [f"answer to {request}" for request in requests]
        case Work(run):
            return run()
    raise TypeError(step)


def test_each_step_gets_its_answer_and_the_last_is_the_result(drive: Drive) -> None:
    assert drive(asking(), answer, NEVER) == ["answer to near vector of q", "worked"]


def test_a_failure_is_raised_where_the_step_was_yielded(drive: Drive) -> None:
    def fail(step: Step) -> Any:
        if isinstance(step, Requests):
            raise RequestRefusedError("no")
        return answer(step)

    def careful() -> Steps[str]:
        try:
            yield from asking()
        except RequestRefusedError as error:
            return f"caught {error}"
        return "not reached"

    assert drive(careful(), fail, NEVER) == "caught no"
    with pytest.raises(RequestRefusedError, match="no"):
        drive(asking(), fail, NEVER)


def test_the_deadline_is_for_all_steps_together(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    carried: list[Step] = []

    def slow(step: Step) -> Any:
        nonlocal now
        now += 3.0
        carried.append(step)
        return answer(step)

    with pytest.raises(SearchTimeoutError, match=r"within the timeout of 5 s") as caught:
        drive(asking(), slow, Deadline(5.0, now + 5.0))
    assert caught.value.timeout == 5.0
    assert [type(step) for step in carried] == [EncodeQueries, Requests]


def test_what_is_left_is_never_nothing_and_never_more_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline.after(10.0)
    assert (deadline.left(60.0), deadline.left(4.0), NEVER.left(60.0)) == (10.0, 4.0, 60.0)
    now = 12.0
    assert deadline.left(60.0) == 0.001
    with pytest.raises(SearchTimeoutError):
        deadline.check()
    NEVER.check()


def test_plans_side_by_side_ask_together_and_get_their_own_answers() -> None:
    def plan(name: str, rounds: int) -> StoreSteps[list[str]]:
        found: list[str] = []
        for number in range(rounds):
            found += yield Requests([f"{name}{number}{each}" for each in "xy"[: rounds - number]])
        return found

    asked: list[list[str]] = []

    def carry(step: Requests, _: Deadline) -> list[str]:
        asked.append(list(step.requests))
        return [request.upper() for request in step.requests]

    assert carry_out(together([plan("a", 2), plan("b", 0), plan("c", 1)]), carry) == [
        ["A0X", "A0Y", "A1X"],
        [],
        ["C0X"],
    ]
    assert asked == [["a0x", "a0y", "c0x"], ["a1x"]]
    assert carry_out(together([]), carry) == []


def _patient(name: str, times: int) -> StoreSteps[str]:
    """Asks, and asks again where it is refused so often."""
    for _ in range(times):
        try:
            (found,) = yield Requests([name])
        except RequestRefusedError:
            continue
        return str(found)
    (found,) = yield Requests([f"{name} for the last time"])
    return str(found)


@pytest.mark.parametrize("names", ["a", "ab"])
def test_what_was_refused_may_be_asked_again_by_each_of_the_plans(names: str) -> None:
    asked: list[list[str]] = []

    def carry(step: Requests, _: Deadline) -> list[str]:
        asked.append(list(step.requests))
        if len(asked) == 1:
            raise RequestRefusedError("no")
        return [request.upper() for request in step.requests]

    assert carry_out(together([_patient(name, 2) for name in names]), carry) == list(names.upper())
    assert asked == [list(names)] * 2


def test_what_one_of_the_plans_lets_pass_ends_all_of_them() -> None:
    def refuse(step: Requests, _: Deadline) -> list[str]:
        raise RequestRefusedError(", ".join(step.requests))

    with pytest.raises(RequestRefusedError, match="a, b"):
        carry_out(together([_patient("a", 3), _patient("b", 0)]), lambda step, at: refuse(step, at))
