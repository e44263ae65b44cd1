"""What is said of requests that are waited for."""

from __future__ import annotations

from tasb_qdrant.collection.watch import SLOW_SECONDS, Watch


def test_nothing_is_said_while_answers_come_soon() -> None:
    now = [0.0]
    watch = Watch(clock=lambda: now[0])
    assert watch.waiting_for() == ""
    with watch.request("storing 512 passages"):
        now[0] += SLOW_SECONDS - 1
        assert watch.waiting_for() == ""
    now[0] += 100
    assert watch.waiting_for() == ""


def test_a_failure_that_is_retried_is_said_with_its_reason_the_wait_and_the_tries() -> None:
    now = [0.0]
    failures: list[float] = []
    watch = Watch(clock=lambda: now[0])
    watch.on_failure = lambda: failures.append(now[0])
    with watch.request("storing 512 passages") as request:
        watch.failed(request, "429 rate limited", 8.0)
        assert watch.waiting_for() == "the server: 429 rate limited; trying again in 8 s (1 try)"
        now[0] += 5
        assert watch.waiting_for() == "the server: 429 rate limited; trying again in 3 s (1 try)"
        with watch.request("counting") as other:
            watch.failed(other, "503", 1.0)
            watch.again(other)
            watch.failed(other, "503", 1.0)
            assert watch.waiting_for() == "the server: 503; trying again in 1 s (2 tries)"
        watch.again(request)
        assert watch.waiting_for() == ""
        now[0] += SLOW_SECONDS
        assert watch.waiting_for() == "the server's answer for 10 s (storing 512 passages, try 2)"
    assert watch.waiting_for() == ""
    assert failures == [0.0, 5.0, 5.0]
    assert watch.failures == 3


def test_the_answer_that_takes_longest_is_the_one_that_is_told() -> None:
    now = [0.0]
    watch = Watch(clock=lambda: now[0])
    with watch.request("storing 3 passages"):
        now[0] += 20
        with watch.request("counting"):
            now[0] += 20
            assert watch.waiting_for() == "the server's answer for 40 s (storing 3 passages)"
