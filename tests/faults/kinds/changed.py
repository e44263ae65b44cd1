"""The source or the model is another when a killed run is to go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

from tests.faults.corpus import record, write_source
from tests.faults.oracle import compare
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
    trial.kill(command)
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
    trial.kill(command)
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
