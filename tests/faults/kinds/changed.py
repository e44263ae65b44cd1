"""Something is another when a killed run is to go on: the input, the model, the collection; or two run at once."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from tests.faults.corpus import record, write_source
from tests.faults.oracle import compare
from tests.faults.targets import NAME, Embedded, OnServer
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "grpc", "rest")

Change = Callable[[Trial, Command], Command]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def _one_text_changed(trial: Trial, command: Command) -> Command:
    lines = _lines(command.source)
    row = trial.chance.randrange(len(lines))
    lines[row] = json.dumps(json.loads(lines[row]) | {"text": "another stone"}) + "\n"
    command.source.write_text("".join(lines), encoding="utf-8")
    return command


def _some_lines_gone(trial: Trial, command: Command) -> Command:
    lines = _lines(command.source)
    row = trial.chance.randrange(len(lines) - 30)
    command.source.write_text("".join(lines[:row] + lines[row + 30 :]), encoding="utf-8")
    return command


def _lines_added(trial: Trial, command: Command) -> Command:
    with command.source.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record(number, trial.chance)) + "\n" for number in range(400, 430))
    return command


def _lines_swapped(trial: Trial, command: Command) -> Command:
    lines = _lines(command.source)
    trial.chance.shuffle(lines)
    command.source.write_text("".join(lines), encoding="utf-8")
    return command


def _cut_short(trial: Trial, command: Command) -> Command:
    whole = _lines(command.source)
    command.source.write_text("".join(whole[: trial.chance.randrange(50, 350)]), encoding="utf-8")
    return command


def _touched(trial: Trial, command: Command) -> Command:
    command.source.touch()
    return command


SOURCES: Final[dict[str, Change]] = {
    "one text changed": _one_text_changed,
    "30 lines gone": _some_lines_gone,
    "30 lines added": _lines_added,
    "lines in another order": _lines_swapped,
    "the source cut short": _cut_short,
    "the source touched": _touched,
}


def source_cases() -> list[tuple[str, str]]:
    """What became of the source, and the store."""
    return list(product(SOURCES, _STORES))


def source(trial: Trial) -> None:
    """Another source under the same name: refused with the difference, or stored as it is now."""
    every = source_cases()
    what, store = every[trial.verdict.case.number % len(every)]
    trial.verdict.fault = f"{what} after a kill, {store}"
    command = trial.command(store, source=write_source(trial.folder / "own.jsonl"))
    _killed(trial, command)
    left = {key: value for held in command.target.held() for key, value in held.points.items()}
    command = SOURCES[what](trial, command)
    now = trial.rig.undisturbed(command.source, trial.rig.model)
    # What only the source of before has may be there still: nothing said that it should go.
    trial.expected = {key: value for key, value in left.items() if key not in now} | dict(now)
    code = trial.finish(trial.start(command))
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    trial.again_or_restarted(command, first=code)


def model(trial: Trial) -> None:
    """Another model, precision or distance: refused, and the collection stays as it was."""
    number = trial.verdict.case.number
    what = ("weights", "precision", "pooling")[number % 3]
    store = _STORES[number // 3 % 3]
    trial.verdict.fault = f"another model ({what}) after a kill, {store}"
    command = trial.command(store)
    _killed(trial, command)
    before = command.target.held()
    other = {
        "weights": ["--model", str(trial.rig.other_model)],
        "precision": ["--precision", "int8"],
        "pooling": ["--model", str(_mean_pooled(trial))],
    }[what]
    code = trial.finish(trial.start(replace(command, extra=other)))
    # Without a checkpoint a precision is only a warning: the vectors agree to a cosine of 0.99.
    trial.expect(code == 1 or (what == "precision" and code == 0), f"expected exit code 1, got {code}")
    if code == 1 and before:
        for then, now in zip(before, command.target.held(), strict=True):
            trial.expect(not compare(now, then.points), f"the refused run has changed the collection: {then.where}")
    elif code == 0:
        command = replace(command, tolerance=0.5)
    trial.again_or_restarted(command, first=1)


def _mean_pooled(trial: Trial) -> Path:
    """The same weights under sentence-transformers' files that say mean pooling."""
    import shutil

    folder = trial.folder / "mean"
    shutil.copytree(trial.rig.model, folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    )
    return folder


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


def collection(trial: Trial) -> None:
    """The collection is another than the one that the killed run has stored in."""
    number = trial.verdict.case.number
    what = tuple(COLLECTIONS)[number % len(COLLECTIONS)]
    store = ("grpc", "rest")[number // len(COLLECTIONS) % 2]
    trial.verdict.fault = f"the collection {what} after a kill, {store}"
    command = trial.command(store)
    _killed(trial, command, at="acked")
    COLLECTIONS[what](trial, command)
    code = trial.finish(trial.start(command))
    if what == "made anew with another distance":
        trial.expect(code == 1, f"expected exit code 1, got {code}")
        _rest(command, "DELETE", "")
    # What another program deletes behind a run's back need not be noticed, but 0 would be a lie.
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    trial.again_or_restarted(command, first=code)


def embedded_collection(trial: Trial) -> None:
    """The embedded collection's folder is gone, or its sidecar damaged."""
    import shutil

    what = ("folder deleted", "sidecar deleted", "sidecar cut", "sidecar empty", "lock deleted")
    chosen = what[trial.verdict.case.number % len(what)]
    trial.verdict.fault = f"{chosen} after a kill, embedded"
    command = trial.command("embedded")
    if not isinstance(command.target, Embedded):
        raise TypeError
    _killed(trial, command, at="acked")
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


def _killed(trial: Trial, command: Command, *, at: str = "encoded") -> None:
    """A run killed on its way: what is to go on."""
    nth = trial.chance.randint(3, 45)
    strike: dict[str, Any] = {"hook": "strike", "point": at, "nth": nth, "action": "kill"}
    code = trial.finish(trial.start(command, [strike]))
    trial.expect(code == -signal.SIGKILL, f"expected a killed run, got exit code {code}")
    trial.check_acked(command)


def _rest(command: Command, method: str, path: str, body: object = None) -> Any:
    target = command.target
    if not isinstance(target, OnServer):
        raise TypeError("an embedded collection has no server")
    station = target.station
    return station.rest(station.nodes[0]).ask(method, f"/collections/{target.name}{path}", body)
