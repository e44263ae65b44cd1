"""A load's heartbeat: as long as the load is under way, whatever one of its beats met."""

from __future__ import annotations

import pytest

from tasb_qdrant.collection.loads import Loads
from tasb_qdrant.ingest import lease as leases
from tasb_qdrant.ingest.flow import StoppedError
from tests.ingest.fakes import CountingCollection
from tests.waiting import until


class Faltering(CountingCollection):
    """A collection that `fails` when it is looked at, while anything is to be raised."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: list[Exception] = []

    def loads(self) -> Loads:
        if self.fails:
            raise self.fails.pop()
        return super().loads()


@pytest.mark.parametrize("error", [StoppedError(), RuntimeError("the connection is closed")])
def test_a_heartbeat_goes_on_after_one_that_failed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.01)
    collection = Faltering()
    lease = leases.Lease(collection, load="mine")

    def beats() -> int:
        return CountingCollection.loads(collection).marks["mine"].beat

    with lease.held(alone=False):
        until(lambda: beats() > 3, "beats")
        collection.fails = [error]
        until(lambda: not collection.fails, "a beat that fails")
        before = beats()
        until(lambda: beats() > before + 3, "beats after it")
        lease.check()
