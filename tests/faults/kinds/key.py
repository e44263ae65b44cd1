"""The API key revoked while a run is under way."""

from __future__ import annotations

import json
from typing import Final

from tests.faults.trial import Trial
from tests.faults.wire import Exchange, Fault

_REFUSED: Final = {
    401: b"Must provide an API key or an Authorization bearer token",
    403: b"Forbidden: a key that was revoked",
}


def refused(trial: Trial) -> None:
    """From the nth request on, every answer over REST is 401 or 403."""
    chance = trial.chance
    status, nth = chance.choice(tuple(_REFUSED)), chance.randint(1, 60)
    trial.verdict.fault = f"the key refused with {status} from request {nth} on, rest"
    command = trial.command("rest")
    fault = Fault("reply", status=status, body=_REFUSED[status])
    wire = trial.station(command).wire

    def plan(exchange: Exchange, stores: int) -> Fault | None:
        return fault if exchange.number >= nth else None

    wire.plan = plan
    code = trial.finish(trial.start(command))
    trial.expect(code == 1, f"expected exit code 1, got {code}")
    wire.plan = lambda exchange, stores: None
    trial.check_acked(command)
    trial.again(command, first=code)


def revoked(trial: Trial) -> None:
    """The server is started again with another key, and later with the first one."""
    transport = ("grpc", "rest")[trial.verdict.case.number % 2]
    nth = trial.chance.randint(1, 45)
    trial.verdict.fault = f"the server started again with another key at request {nth}, {transport}"
    command = trial.command(transport)
    node = trial.station(command).nodes[0]
    due = trial.hold(command, nth)
    run = trial.start(command, pace=0.3)
    while not due.wait(0.02) and run.wait(0) is None:
        pass
    config = node.folder / "config.yaml"
    before = config.read_text()
    changed = json.loads(before)
    changed["service"]["api_key"] = "another-key"
    config.write_text(json.dumps(changed))
    node.restart()
    code = trial.finish(run)
    trial.expect(code == 1, f"expected exit code 1, got {code}")
    trial.expect("key" in run.said().splitlines()[-1], f"the error doesn't tell of the key: {run.said()[-200:]}")
    config.write_text(before)
    node.restart()
    trial.check_acked(command)
    trial.again(command, first=code)
