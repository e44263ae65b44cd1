"""The collection is another when a killed run is to go on, or two runs store into it at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tests.faults.corpus import write_source
from tests.faults.targets import NAME, Embedded, OnServer
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "grpc", "rest")


def _deleted(trial: Trial, command: Command) -> None:
    _rest(command, "DELETE", "")


def _made_anew(trial: Trial, command: Command) -> None:
    """Deleted, and made by a run on other passages that was killed at once, or by another program."""
    _rest(command, "DELETE", "")
    few = write_source(trial.folder / "few.jsonl", passages=16)
    code = trial.finish(trial.start(replace(command, source=few)))
    trial.expect(code == 0, f"the collection could not be made anew: exit code {code}")


def _some_points_deleted(trial: Trial, command: Command) -> None:
    stored = sorted(set(command.target.stored()))
    gone = [int(one) if one.isdecimal() else one for one in trial.chance.sample(stored, min(5, len(stored)))]
    if gone:
        _rest(command, "POST", "/points/delete?wait=true", {"points": gone})


def _distance_changed(trial: Trial, command: Command) -> None:
    described = _rest(command, "GET", "")["config"]
    _rest(command, "DELETE", "")
    vectors = described["params"]["vectors"] | {"distance": "Cosine"}
    _rest(command, "PUT", "", {"vectors": vectors, "metadata": described["metadata"]})


COLLECTIONS: Final[dict[str, Callable[[Trial, Command], None]]] = {
    "deleted": _deleted,
    "deleted and made anew": _made_anew,
    "some points deleted": _some_points_deleted,
    "made anew with another distance": _distance_changed,
}


def changed(trial: Trial) -> None:
    """The collection is another than the one that the killed run has stored in."""
    number = trial.verdict.case.number
    what = tuple(COLLECTIONS)[number % len(COLLECTIONS)]
    store = ("grpc", "rest")[number // len(COLLECTIONS) % 2]
    trial.verdict.fault = f"the collection {what} after a kill, {store}"
    command = trial.command(store)
    trial.kill(command, at="acked")
    COLLECTIONS[what](trial, command)
    code = trial.finish(trial.start(command))
    if what == "made anew with another distance":
        trial.expect(code == 1, f"expected exit code 1, got {code}")
        _rest(command, "DELETE", "")
        code = trial.finish(trial.start(command))
    # What another program deletes behind a run's back need not be noticed, but 0 would be a lie.
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    trial.again_or_restarted(command, first=code)


def embedded_files(trial: Trial) -> None:
    """The embedded collection's folder is gone, or its sidecar damaged."""
    what = ("folder deleted", "sidecar deleted", "sidecar cut", "sidecar empty", "lock deleted")
    chosen = what[trial.verdict.case.number % len(what)]
    trial.verdict.fault = f"{chosen} after a kill, embedded"
    command = trial.command("embedded")
    if not isinstance(command.target, Embedded):
        raise TypeError
    trial.kill(command, at="acked")
    folder = command.target.root / NAME
    sidecar = folder / "collection.json"
    whole = sidecar.read_bytes()
    match chosen:
        case "folder deleted":
            shutil.rmtree(folder)
        case "sidecar deleted":
            sidecar.unlink()
        case "lock deleted":
            (folder / "lock").unlink()
        case _:
            sidecar.write_bytes(whole[: trial.chance.randrange(1, len(whole))] if chosen == "sidecar cut" else b"")
    code = trial.finish(trial.start(command))
    if chosen.startswith("sidecar"):
        trial.expect(code == 1, f"expected exit code 1, got {code}")
        sidecar.write_bytes(whole)
    trial.again_or_restarted(command, first=code)


def two_at_once(trial: Trial) -> None:
    """The same command twice at the same time: one may be refused, nothing may be lost or doubled."""
    chance = trial.chance
    store = _STORES[trial.verdict.case.number % 3]
    wait = chance.uniform(0.0, 0.4)
    trial.verdict.fault = f"the same command a second time {wait:.2f} s later, {store}"
    command = trial.command(store)
    first = trial.start(command)
    first.wait(wait)
    second = trial.start(command)
    codes = [trial.finish(run) for run in (first, second)]
    trial.expect(0 in codes and set(codes) <= {0, 1, 3}, f"expected exit code 0 of one of them, got {codes}")
    trial.again(command, first=0 if 0 in codes else 1)


def _rest(command: Command, method: str, path: str, body: object = None) -> Any:
    target = command.target
    if not isinstance(target, OnServer):
        raise TypeError("an embedded collection has no server")
    station = target.station
    return station.rest(station.nodes[0]).ask(method, f"/collections/{target.name}{path}", body)
