"""The state of a killed run, damaged: cut at every byte, bits flipped. The last good one is used, or none."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Final

from tests.faults.trial import Command, Trial

_FILES: Final = ("checkpoint", "checkpoint.previous")
_STORES: Final = ("embedded", "grpc", "rest")

FLIPS_AT_ONCE: Final = 500
"""Bit flips of one case in process: 20 cases make 10,000."""


def _killed(trial: Trial, store: str) -> tuple[Command, Path]:
    """A run that was killed when it had checkpoints, and the folder of its state."""
    # How many checkpoints a run has is a matter of time: one that ended first is followed by another, killed sooner.
    for nth in (trial.chance.randint(2, 8), 2, 1):
        command = trial.command(store)
        strike = {"hook": "strike", "point": "checkpoint saved", "nth": nth, "action": "kill"}
        code = trial.finish(trial.start(command, [strike]))
        if code != 0:
            break
    trial.expect(code == -signal.SIGKILL, f"expected a killed run, got exit code {code}")
    found = [path.parent for path in trial.folder.rglob("checkpoint")]
    if len(found) != 1:
        raise RuntimeError(f"expected one checkpoint of the killed run, found {len(found)}")
    return command, found[0]


def in_process(trial: Trial) -> None:
    """The loader alone: the checkpoint cut at every byte, or with random bits flipped."""
    number = trial.verdict.case.number
    _, folder = _killed(trial, _STORES[number % 3])
    way = "cut at every byte" if number < 3 else f"{FLIPS_AT_ONCE} times some bits flipped"
    found = trial.folder / "found.json"
    job = trial.rig.zygote.start(
        [str(folder), "cut" if number < 3 else "flip", str(trial.verdict.case.seed), str(found)],
        folder=trial.folder,
        name="job",
        environment={},
        job="tests.faults.kinds.saved:try_all",
    )
    if job.wait(120) != 0:
        job.end()
        raise RuntimeError(f"the job failed: {job.said()[-1000:]}")
    result = json.loads(found.read_text())
    trial.verdict.faults = result["tried"]
    trial.verdict.fault = f"the checkpoint {way}: {result['tried']} tried, {result['refused']} refused, in process"
    trial.verdict.wrong += len(result["wrong"])
    trial.verdict.problems += result["wrong"][:5]


def try_all(folder: str, way: str, seed: str, target: str) -> None:
    """A job for a forked child: damage the files in every way, and load them each time.

    What is loaded must be one of the two that were saved, whole; else it must be refused, by a named error.
    """

    from tasb_qdrant.errors import TasbQdrantError
    from tasb_qdrant.ingest.resume.state import StateFiles

    good = {name: (Path(folder) / name).read_bytes() for name in _FILES if (Path(folder) / name).exists()}
    contents = {data.partition(b"\n")[2] for data in good.values()}
    chance = random.Random(int(seed))
    tried = refused = 0
    wrong: list[str] = []
    for what, damaged in _damaged(good, way, chance):
        tried += 1
        for name, data in damaged.items():
            (Path(folder) / name).write_bytes(data)
        try:
            saved = StateFiles(Path(folder)).load()
        except TasbQdrantError:
            refused += 1
            continue
        if saved is None or saved.content not in contents:
            wrong.append(f"{what}: loaded {'nothing' if saved is None else 'something else'}")
    Path(target).write_text(json.dumps({"tried": tried, "refused": refused, "wrong": wrong}))


def _damaged(good: dict[str, bytes], way: str, chance: random.Random) -> list[tuple[str, dict[str, bytes]]]:
    latest = good["checkpoint"]
    if way == "cut":
        return [(f"cut at byte {size}", good | {"checkpoint": latest[:size]}) for size in range(len(latest))]
    made: list[tuple[str, dict[str, bytes]]] = []
    for _ in range(FLIPS_AT_ONCE):
        both = chance.random() < 0.3
        damaged = {name: flip(data, chance) if both or name == "checkpoint" else data for name, data in good.items()}
        made.append(("bits flipped", damaged))
    return made


def flip(data: bytes, chance: random.Random) -> bytes:
    """With one to eight bits flipped."""
    flipped = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def whole_run(trial: Trial) -> None:
    """The same seen from outside: the run on damaged state goes on well, or is refused and begins anew."""
    chance, number = trial.chance, trial.verdict.case.number
    store, way = (
        _STORES[number % 3],
        ("cut", "flipped", "both flipped", "both cut", "lost", "all lost")[number // 3 % 6],
    )
    trial.verdict.fault = f"the checkpoint {way} after a kill, {store}"
    command, folder = _killed(trial, store)
    for name in _FILES if "both" in way else _FILES[:1]:
        path = folder / name
        if path.exists():
            data = path.read_bytes()
            path.write_bytes(data[: chance.randrange(len(data))] if "cut" in way else flip(data, chance))
    if way == "lost":
        (folder / "checkpoint").unlink()
    if way == "all lost":
        shutil.rmtree(folder)
    code = trial.finish(trial.start(command))
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    trial.again_or_restarted(command, first=code)
