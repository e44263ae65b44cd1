"""Replies that go wrong on the way, or say what no well server says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Final

from tests.faults.trial import Trial
from tests.faults.wire import Action, Exchange, Fault

_BATCHES: Final = 50

_ON_GRPC: Final[tuple[Action, ...]] = ("drop", "reset", "reset request", "truncate", "delay")
_ON_REST: Final[tuple[Action, ...]] = (*_ON_GRPC, "duplicate")


def every_nth_cases() -> list[tuple[str, Action, int]]:
    """Transport, what becomes of the reply, and of every how many-th one."""
    grpc = product(["grpc"], _ON_GRPC, range(1, _BATCHES + 1))
    return [*grpc, *product(["rest"], _ON_REST, range(1, _BATCHES + 1))]


def every_nth(trial: Trial) -> None:
    """Every Nth reply to a request that stores points is dropped, reset, cut, delayed; or the request doubled."""
    every = every_nth_cases()
    transport, action, nth = every[trial.verdict.case.number % len(every)]
    trial.verdict.fault = f"{action}, every {nth}. request, {transport}"
    delayed = action == "delay"
    # Longer than a request may take; a tenth of the others waits as long as it may.
    fault = Fault(action, seconds=1.5 if nth % 5 == 0 else 0.05)
    command = trial.command(transport, extra=("--timeout", "1") if delayed else ())
    wire = trial.station(command).wire

    def plan(exchange: Exchange, stores: int) -> Fault | None:
        return fault if stores and stores % nth == 0 else None

    wire.plan = plan
    code = trial.finish(trial.start(command))
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    wire.plan = _none
    trial.check_acked(command)
    trial.again(command, first=code)


def _none(exchange: Exchange, stores: int) -> None:
    return None


def _json(status: str) -> bytes:
    return b'{"result":{"operation_id":1,"status":"%s"},"status":"ok","time":0.001}' % status.encode()


SCRIPTED: Final[dict[str, Fault]] = {
    "429": Fault("reply", status=429),
    "429, retry after 0": Fault("reply", status=429, headers={"retry-after": "0"}),
    "429, retry after 30": Fault("reply", status=429, headers={"retry-after": "30"}),
    "429, retry after junk": Fault("reply", status=429, headers={"retry-after": "soon"}),
    "429, retry after 1e9": Fault("reply", status=429, headers={"retry-after": "1000000000"}),
    "408": Fault("reply", status=408),
    "500": Fault("reply", status=500),
    "502": Fault("reply", status=502, body=b"<html>Bad Gateway</html>"),
    "503": Fault("reply", status=503),
    "504": Fault("reply", status=504, body=b""),
    "acknowledged": Fault("reply", status=200, body=_json("acknowledged")),
    "wait_timeout": Fault("reply", status=200, body=_json("wait_timeout")),
    "junk": Fault("reply", status=200, body=b"\x00\xff junk"),
    "half of a JSON": Fault("reply", status=200, body=b'{"result":{"operation_id":1,"stat'),
    "another JSON": Fault("reply", status=200, body=b'{"result":null,"status":"ok","time":0.0}'),
    "500 after the apply": Fault("reply", status=500, late=True),
    "503 after the apply": Fault("reply", status=503, late=True),
}
"""Answers over REST, by what they say."""

SPREADS: Final[dict[str, Callable[[int], bool]]] = {
    "once": lambda number: number == 1,
    "three times": lambda number: number <= 3,
    "every third time": lambda number: number % 3 == 0,
    "always": lambda number: True,
}


def scripted_cases() -> list[tuple[str, str, int]]:
    """What is answered, how often, and from which request of the run on: all of them, and the rest of a run has 50."""
    return list(product(SCRIPTED, SPREADS, (1, 2, 4, 6, 8, 9, 10, 12, 30, 57)))


def scripted(trial: Trial) -> None:
    """A scripted answer instead of the server's, to any request of the run."""
    every = scripted_cases()
    what, spread, start = every[trial.verdict.case.number % len(every)]
    trial.verdict.fault = f"{what!r}, {spread}, from request {start} on"
    command = trial.command("rest")
    wire = trial.station(command).wire
    due, fault = SPREADS[spread], SCRIPTED[what]

    def plan(exchange: Exchange, stores: int) -> Fault | None:
        return fault if exchange.number >= start and due(exchange.number - start + 1) else None

    wire.plan = plan
    code = trial.finish(trial.start(command, pace=0.01))
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    wire.plan = _none
    trial.check_acked(command)
    trial.again(command, first=code)
