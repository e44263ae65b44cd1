"""A server that holds a run up: what is told meanwhile, and that nobody waits for it once the run has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tasb_qdrant.errors import RequestRefusedError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.flow import Flow, StoppedError, sleep_until
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.records import Passage
from tests.collection.faults import HttpFault, HttpProxy
from tests.collection.helpers import fresh_name
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer
from tests.waiting import PATIENCE, sooner_than

PAUSE = 100
"""Seconds, within the two minutes for which a request is tried again."""

LIMITED = HttpFault(429, {"retry-after": str(PAUSE)}, body=b"rate limited")


@pytest.fixture
def proxy(qdrant_1_17: QdrantServer) -> Iterator[HttpProxy]:
    with HttpProxy(qdrant_1_17) as made:
        made.when = lambda method, path: method == "PUT" and "/points" in path
        yield made


def passages(count: int = 5_000) -> list[Passage]:
    return [Passage(str(n), f"passage number {n}") for n in range(count)]


def test_what_is_waited_for_is_told_and_an_interrupt_ends_the_waiting_at_once(proxy: HttpProxy) -> None:
    proxy.always = LIMITED
    told: list[Progress] = []

    def on_progress(now: Progress) -> None:
        told.append(now)
        if now.waiting_for:
            raise KeyboardInterrupt

    name = fresh_name()
    with sooner_than(PAUSE), pytest.raises(KeyboardInterrupt):
        ingest(
            passages(), collection=name, url=proxy.url, transport="rest", encoder=StubEncoder(), on_progress=on_progress
        )
    assert told[-1].phase == "encoding"
    assert told[-1].waiting_for.startswith("the server: 429 rate limited")
    assert told[-1].waiting_for.endswith(" s (1 try)")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tasb-qdrant")]


def test_a_server_that_comes_back_is_told_of_no_more_and_everything_is_stored(proxy: HttpProxy) -> None:
    proxy.script.extend([HttpFault(503, body=b"restarting")] * 4)
    told: list[str] = []
    report = ingest(
        passages(),
        collection=fresh_name(),
        url=proxy.url,
        transport="rest",
        encoder=StubEncoder(),
        optimize=False,
        on_progress=lambda now: told.append(now.waiting_for),
    )
    assert report.verified
    assert report.points == 5_000
    assert told[-1] == ""


def test_a_failure_of_one_stage_ends_the_waits_of_the_others() -> None:
    stopped, asleep = threading.Event(), threading.Event()
    sleep = sleep_until(stopped, waiting=lambda: None)

    def wait() -> None:
        asleep.set()
        sleep(3600)

    def fail() -> None:
        assert asleep.wait(PATIENCE)
        raise RequestRefusedError("no")

    def run() -> None:
        with Flow(stopped) as flow:
            flow.spawn("waiting", wait)
            flow.spawn("failing", fail)
            flow.join(waiting=lambda: None)

    with sooner_than(3600), pytest.raises(RequestRefusedError, match="no"):
        run()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tasb-qdrant")]


def test_the_caller_sleeps_on_when_the_run_has_ended_and_the_stages_do_not() -> None:
    stopped = threading.Event()
    stopped.set()
    told: list[float] = []
    sleep = sleep_until(stopped, waiting=lambda: told.append(time.monotonic()))
    began = time.monotonic()
    sleep(0.05)
    assert time.monotonic() - began >= 0.05
    assert told
    raised: list[BaseException] = []

    def stage() -> None:
        try:
            sleep(3600)
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=stage)
    thread.start()
    thread.join(PATIENCE)
    assert len(raised) == 1
