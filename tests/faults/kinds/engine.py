"""The embedded engine's own files damaged, or cut off by a power loss."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.faults.oracle import compare
from tests.faults.rig import WITH_WORDS
from tests.faults.targets import NAME, Embedded
from tests.faults.trial import Command, Trial
from tests.small_disk import NoDiskError, small_disk

Damage = Callable[[Path, random.Random], None]

_BITS: Final = 8
_HOLE: Final = 64


def _deleted(path: Path, chance: random.Random) -> None:
    path.unlink()


def _emptied(path: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


def _cut(path: Path, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(chance.choice((path.stat().st_size // 2, chance.randrange(max(1, path.stat().st_size)))))


def _last_byte_cut(path: Path, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(max(0, path.stat().st_size - 1))


def _bits_flipped(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    used = _used(data) or range(len(data))
    for _ in range(_BITS if used else 0):
        data[chance.choice(used)] ^= 1 << chance.randrange(8)
    _overwrite(path, bytes(data))


def _zeroed(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if used := _used(data):
        at = chance.choice(used)
        data[at : at + _HOLE] = bytes(len(data[at : at + _HOLE]))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data[at : at + _HOLE])


WAYS: Final[dict[str, Damage]] = {
    "deleted": _deleted,
    "emptied": _emptied,
    "cut": _cut,
    "cut by a byte": _last_byte_cut,
    "with 8 bits flipped": _bits_flipped,
    "with 64 bytes of zeros": _zeroed,
}

_STATES: Final = ("just stored", "indexed, with words", "killed")


def damaged(trial: Trial) -> None:
    """One file is damaged: what is asked of the collection then is right, or an error with a name, or `verify` finds
    it. The process never crashes."""
    number, chance = trial.verdict.case.number, trial.chance
    state = _STATES[number % 3]
    # After a kill there are no checksums, and nothing tells bits that were flipped.
    ways = [way for way in WAYS if state != "killed" or "with" not in way]
    way = ways[number // 3 % len(ways)]
    command = trial.command("embedded")
    root = _root(command)
    words = "words" in state
    trial.options = WITH_WORDS if words else ()
    trial.expected = trial.rig.expected_with_words if words else trial.rig.expected
    _copy(_prepared(trial, state), root)
    files = sorted(path for path in (root / NAME / "shard").rglob("*") if path.is_file())
    victim = chance.choice(files)
    trial.verdict.fault = f"{state}: {_shown(victim, root)} {way}"
    WAYS[way](victim, chance)
    # After a kill nothing says how an index of a field should be, and a source doesn't show it.
    found = _looked_at(trial, root, filters=state != "killed")
    command = trial.with_options(command)
    told = trial.finish(trial.run(["collection", "verify", *_verifying(trial, command)]))
    trial.expect(told in (0, 1, 3), f"expected exit code 0, 1 or 3 of verify, got {told}")
    if found and not told:
        trial.verdict.silent += 1
        trial.verdict.problems.append(f"{'; '.join(found)}; and verify calls it equal")
    code = trial.finish(trial.start(command))
    trial.expect(code in (0, 1), f"expected exit code 0 or 1, got {code}")
    if code == 0 and not told:
        trial.judge(command, code)


def power_loss(trial: Trial) -> None:
    """The disk as it was at a moment: what the program had not flushed is gone. The same command goes on from there."""
    number, chance = trial.verdict.case.number, trial.chance
    command = trial.command("embedded", optimize=number % 3 == 2)
    root = _root(command)
    wait = chance.uniform(0.05, 0.9 if command.optimize else 0.5)
    at_the_end = number % 4 == 3
    when = "when a run had ended" if at_the_end else f"after {wait:.2f} s"
    trial.verdict.fault = f"power lost {when}{', with the index' if command.optimize else ''}"
    image, then = root.with_suffix(".img"), trial.folder / "then.img"
    try:
        with small_disk(root, kind="ext4", mebibytes=200.0):
            run = trial.start(command)
            if at_the_end:
                trial.expect(trial.finish(run) == 0, "expected exit code 0")
            else:
                time.sleep(wait)
                run.send(signal.SIGSTOP)  # so that the copy is of one moment
            subprocess.run(["cp", "--sparse=always", str(image), str(then)], check=True)
            run.end()
        with _mounted(then, root):
            _check_promises(trial, command)
            code = trial.finish(trial.start(command))
            right = (0,) if at_the_end else (0, 1)
            trial.expect(code in right, f"expected an exit code of {right}, got {code}")
            trial.again_or_restarted(command, first=code)
    except NoDiskError as error:
        trial.verdict.skipped = str(error)


def _check_promises(trial: Trial, command: Command) -> None:
    """What a checkpoint calls done is there."""
    saved = list(_root(command).glob(".ingest/*/checkpoint"))
    held = command.target.held()
    stored = len(held[0].points) if held else 0
    done = max((json.loads(path.read_bytes().partition(b"\n")[2])["done"]["points"] for path in saved), default=0)
    trial.expect(done <= stored, f"a checkpoint says that {done} points are stored, and {stored} are")
    if held:
        wrong = compare(held[0], {key: trial.expected[key] for key in held[0].points if key in trial.expected})
        trial.expect(not wrong, f"after the power loss: {wrong}")


def look(root: str, expected: str, target: str, filters: str) -> None:
    """A job: what a collection answers, held against what it must. Writes what is wrong with it, or the error."""
    from tasb_qdrant.collection.open import open_collection
    from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions
    from tasb_qdrant.errors import TasbQdrantError
    from tasb_qdrant.filters import F

    wanted: dict[str, Any] = json.loads(Path(expected).read_text())
    ids = [int(one) if one.isdecimal() else one for one in wanted]
    vectors = np.array([wanted[str(one)][1] for one in ids], dtype=np.float32)
    answer: dict[str, Any] = {"wrong": [], "named": "", "unnamed": ""}
    try:
        with open_collection(NAME, path=root) as collection:
            points = {point.id: point for point in collection.reads.retrieve(ids, vectors=True)}
            answer["wrong"] += [f"{len(ids) - len(points)} points are missing"] if len(points) < len(ids) else []
            bad = sum(_differs(points[one], wanted[str(one)]) for one in ids if one in points)
            answer["wrong"] += [f"{bad} points have other content"] if bad else []
            if (count := collection.reads.count()) != len(ids):
                answer["wrong"].append(f"{count} points are counted")
            some = vectors[::20]
            for exact in (True, False):
                lists = collection.reads.query([Nearest(each) for each in some], QueryOptions(limit=5, exact=exact))
                best = np.sort(some @ vectors.T, axis=1)[:, ::-1][:, :5]
                scores = [[hit.score for hit in hits] for hits in lists]
                off = sum(
                    len(got) < 5 or not np.allclose(got, right, atol=1e-3)
                    for got, right in zip(scores, best, strict=True)
                )
                answer["wrong"] += [f"{off} of {len(some)} searches have other hits"] if off else []
            years = Counter(json.loads(payload)["year"] for payload, _ in wanted.values())
            counted = {year: collection.reads.count(F("year") == year) for year in (years if filters else ())}
            off = sum(counted[year] != years[year] for year in counted)
            answer["wrong"] += [f"{off} of {len(years)} filters match others"] if off else []
    except TasbQdrantError as error:
        answer["named"] = f"{type(error).__name__}: {error}"
    except BaseException as error:
        answer["unnamed"] = f"{type(error).__name__}: {error}"
    Path(target).write_text(json.dumps(answer))


def _differs(point: Any, wanted: tuple[str, list[float]]) -> bool:
    payload = json.dumps(point.payload or {}, sort_keys=True, ensure_ascii=False)
    near = point.vector is not None and np.allclose(point.vector, wanted[1], rtol=0, atol=1e-5)
    return payload != wanted[0] or not near


def _looked_at(trial: Trial, root: Path, *, filters: bool) -> list[str]:
    """What was wrong, in words; what must not be is a problem of the verdict."""
    target = trial.folder / "looked.json"
    arguments = [str(root), str(_expectation(trial)), str(target), "with filters" if filters else ""]
    run = trial.rig.zygote.start(
        arguments,
        folder=trial.folder,
        name="look",
        environment=trial.rig.environment(trial.folder),
        job="tests.faults.kinds.engine:look",
    )
    status = run.wait(60)
    if status is None:
        trial.verdict.hangs += 1
        run.end()
    if status != 0 or not target.exists():
        trial.verdict.problems.append(f"reading ended with {status}: {' '.join(run.said().split())[-200:]}")
        return []
    answer = json.loads(target.read_text())
    trial.expect(not answer["unnamed"], f"an error without a name: {answer['unnamed'][:200]}")
    wrong: list[str] = answer["wrong"]
    return wrong


def _expectation(trial: Trial) -> Path:
    """What reading must give: the dense vectors alone."""
    path = trial.rig.folder / "dense.json"
    if not path.exists():
        points = {key: (payload, numbers.tolist()) for key, (payload, numbers) in trial.rig.expected.items()}
        path.write_text(json.dumps(points))
    return path


def _prepared(trial: Trial, state: str) -> Path:
    """A store in that state, made once."""
    root = trial.rig.folder / f"prepared-{_STATES.index(state)}"
    if root.exists():
        return root
    command = trial.with_options(trial.command("embedded", optimize="indexed" in state))
    hooks = [{"hook": "strike", "point": "acked", "nth": 50, "action": "kill"}] if state == "killed" else []
    code = trial.finish(trial.start(command, hooks))
    if code != (-signal.SIGKILL if hooks else 0):
        raise RuntimeError(f"a store could not be prepared: exit code {code}")
    _copy(_root(command), root)
    shutil.rmtree(_root(command))
    command.target.discard()
    (trial.folder / "acked").unlink(missing_ok=True)
    return root


def _verifying(trial: Trial, command: Command) -> list[str]:
    kept = ["--model", str(trial.rig.model), "--device", "cpu", "--precision", "fp32", "--sample", "0", "--json"]
    return [*command.target.argv(), "--source", str(command.source), *kept]


def _root(command: Command) -> Path:
    if not isinstance(command.target, Embedded):
        raise TypeError
    return command.target.root


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(target)], check=True)


def _used(data: bytearray) -> list[int]:
    """Places with something in them, of the part that is likely in use."""
    return np.flatnonzero(np.frombuffer(data[:4_000_000], dtype=np.uint8)).tolist()


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        for at in range(0, len(data), 4096):
            if any(block := data[at : at + 4096]):  # what is a hole stays one
                file.seek(at)
                file.write(block)


def _shown(path: Path, root: Path) -> str:
    parts = path.relative_to(root / NAME / "shard").parts
    return "/".join(part if len(part) != 36 else "…" for part in parts)


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise NoDiskError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        image.unlink()
