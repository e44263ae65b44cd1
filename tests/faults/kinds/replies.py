"""Replies that go wrong on the way, or say what no well server says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Final

from tests.faults.trial import Trial
from tests.faults.wire import Action, Exchange, Fault, Wire

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


def _pauses(status: int) -> dict[str, Fault]:
    """Too many requests, with each kind of advice when to come again."""
    advice = {"0": "0", "30": "30", "junk": "soon", "1e9": "1000000000"}
    made = {f"retry after {name}": Fault("reply", status, headers={"retry-after": it}) for name, it in advice.items()}
    return {f"{status}": Fault("reply", status), **{f"{status}, {name}": fault for name, fault in made.items()}}


OVER_REST: Final[dict[str, Fault]] = {
    **_pauses(429),
    "408": Fault("reply", 408),
    "500": Fault("reply", 500),
    "502": Fault("reply", 502, body=b"<html>Bad Gateway</html>"),
    "503": Fault("reply", 503),
    "504": Fault("reply", 504, body=b""),
    "acknowledged": Fault("reply", 200, body=_json("acknowledged")),
    "wait_timeout": Fault("reply", 200, body=_json("wait_timeout")),
    "junk": Fault("reply", 200, body=b"\x00\xff junk"),
    "half of a JSON": Fault("reply", 200, body=b'{"result":{"operation_id":1,"stat'),
    "another JSON": Fault("reply", 200, body=b'{"result":null,"status":"ok","time":0.0}'),
    "500 after the apply": Fault("reply", 500, late=True),
    "503 after the apply": Fault("reply", 503, late=True),
}
"""Answers over REST, by what they say."""


def _grpc(status: int) -> bytes:
    """An answer to an upsert that has this for its status: 1 acknowledged, 2 completed, and from 1.17 4 wait_timeout."""
    return bytes((0x0A, 4, 0x08, 1, 0x10, status))


OVER_GRPC: Final[dict[str, Fault]] = {
    **{f"resource exhausted {name[3:]}".rstrip(): replace(one, status=8) for name, one in _pauses(429).items()},
    "deadline exceeded": Fault("reply", 4),
    "internal": Fault("reply", 13),
    "unavailable": Fault("reply", 14),
    "aborted": Fault("reply", 10),
    "acknowledged": Fault("reply", 0, body=_grpc(1)),
    "wait_timeout": Fault("reply", 0, body=_grpc(4)),
    "junk": Fault("reply", 0, body=b"\xff\xff\xff junk"),
    "an empty message": Fault("reply", 0, body=b""),
    "internal after the apply": Fault("reply", 13, late=True),
    "unavailable after the apply": Fault("reply", 14, late=True),
}
"""The same over gRPC, whose first requests, for the version and the collections, go over REST."""

SPREADS: Final[dict[str, Callable[[int], bool]]] = {
    "once": lambda number: number == 1,
    "three times": lambda number: number <= 3,
    "every third time": lambda number: number % 3 == 0,
    "always": lambda number: True,
}


LONGEST_WAIT: Final = 30.0
"""Seconds: a longer pause that a server asks for is cut to this, a shorter one is kept."""


def wire_met(wire: Wire) -> bool:
    """Whether any request met its fault."""
    return any(exchange.fault is not None for exchange in wire.exchanges)


def scripted_cases() -> list[tuple[str, str, str, int]]:
    """Transport, what is answered, how often, and from which request of the run on: one has about 60 of them."""
    starts = (1, 2, 4, 6, 8, 9, 10, 12, 30, 57)
    return [*product(["rest"], OVER_REST, SPREADS, starts), *product(["grpc"], OVER_GRPC, SPREADS, starts)]


def scripted(trial: Trial) -> None:
    """A scripted answer instead of the server's, to any request of the run."""
    every = scripted_cases()
    transport, what, spread, start = every[trial.verdict.case.number % len(every)]
    trial.verdict.fault = f"{what!r}, {spread}, from request {start} on, {transport}"
    command = trial.command(transport)
    wire = trial.station(command).wire
    due, fault = SPREADS[spread], (OVER_REST if transport == "rest" else OVER_GRPC)[what]

    def speaks(exchange: Exchange) -> bool:
        return exchange.number >= start and exchange.path.startswith("/qdrant.") == (transport == "grpc")

    def plan(exchange: Exchange, stores: int) -> Fault | None:
        return fault if speaks(exchange) and due(exchange.number - start + 1) else None

    wire.plan = plan
    run = trial.start(command, pace=0.01)
    code = trial.finish(run)
    # An answer that says something wrong about the number of points must be noticed, and is: with 3.
    allowed = (0, 1, 3) if fault.status in (0, 200) else (0, 1)
    trial.expect(code in allowed, f"expected an exit code of {allowed}, got {code}")
    waits = trial.waits(run)
    trial.expect(max(waits, default=0.0) <= LONGEST_WAIT, f"waited for {max(waits, default=0.0):.0f} s")
    if what.endswith(("retry after 30", "retry after 1e9")) and code == 0 and wire_met(wire):
        trial.expect(max(waits, default=0.0) >= LONGEST_WAIT, f"asked to wait 30 s or more, waited at most {waits}")
    wire.plan = _none
    trial.check_acked(command)
    trial.again(command, first=code)
