"""A collection that isn't the run's alone: it holds other points, others write to it, it is restored, or another one
takes its place."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.faults.corpus import DIM, record, write_source
from tests.faults.oracle import Expected, described
from tests.faults.targets import NAME, Embedded, OnServer
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "grpc", "rest")
_TRANSPORTS: Final = ("grpc", "rest")

FIRST_OTHER: Final = 1_000
OTHERS: Final = 120


def lost_points(trial: Trial) -> None:
    """The collection holds another source's points; acknowledged ones of a killed run vanish before it goes on."""
    number, chance = trial.verdict.case.number, trial.chance
    store = _STORES[number % 3]
    way = ("some deleted", "the first deleted", "as many others added")[number // 3 % 3]
    trial.verdict.fault = f"beside others' points, {way} after a kill, {store}"
    command = trial.command(store)
    _with_others(trial, command)
    there = len(command.target.stored())
    killed_with_checkpoints(trial, command)
    ours = list(dict.fromkeys(command.target.stored()[there:]))
    many = chance.randint(1, len(ours))
    gone = ours[:many] if way == "the first deleted" else chance.sample(ours, many)
    if way == "as many others added":
        add_strangers(trial, command, many)
    delete(trial, command, gone)
    _go_on(trial, command)


def bare_points(trial: Trial) -> None:
    """Another program deletes vectors, or words; the payloads stay. The same command stores them again."""
    number, chance = trial.verdict.case.number, trial.chance
    store, way = _STORES[number % 3], ("after a kill", "after a whole run")[number // 3 % 2]
    words = number // 6 % 2 == 1
    trial.verdict.fault = f"{'words' if words else 'vectors'} deleted {way}, {store}"
    if words:
        trial.options, trial.expected = ("--bm25",), trial.rig.expected_with_words
    command = trial.command(store)
    if way == "after a kill":
        killed_with_checkpoints(trial, command)
    else:
        code = trial.finish(trial.start(command))
        trial.expect(code == 0, f"expected exit code 0, got {code}")
    stored = list(dict.fromkeys(command.target.stored()))
    bare = chance.sample(stored, chance.randint(1, len(stored)))
    name = "bm25" if words else ""
    if isinstance(command.target, Embedded):
        _job(trial, "delete_vectors", str(command.target.root), json.dumps(bare), name)
    else:
        body = {"points": [_plain(one) for one in bare], "vector": [name]}
        rest(command, "POST", "/points/vectors/delete?wait=true", body)
    # What a checkpoint covers need not be looked at again; a run from the start must see it.
    extra = ("--restart",) if way == "after a kill" else ()
    code = trial.finish(trial.start(replace(command, extra=extra)))
    trial.expect(code == 0, f"expected exit code 0, got {code}")
    trial.again(command, first=code)


def other_writers(trial: Trial) -> None:
    """While a run stores, another client deletes some of what it has stored, adds others, or does both."""
    number, chance = trial.verdict.case.number, trial.chance
    transport = _TRANSPORTS[number % 2]
    way = ("deletes", "adds", "deletes and adds as many")[number // 2 % 3]
    nth = chance.randint(4, 45)
    trial.verdict.fault = f"another client {way} with request {nth}, {transport}"
    command = trial.command(transport)

    def strike() -> None:
        stored = list(dict.fromkeys(command.target.stored()))
        many = chance.randint(1, max(1, len(stored)))
        if way != "adds":
            delete(trial, command, chance.sample(stored, min(many, len(stored))))
        if way != "deletes":
            add_strangers(trial, command, many)

    code = _struck(trial, command, [(nth, strike)])
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    trial.again_or_restarted(command, first=code)


def restored(trial: Trial) -> None:
    """A snapshot, or a backup, of an earlier time takes the place of what a run has stored since."""
    number, chance = trial.verdict.case.number, trial.chance
    store = _STORES[number % 3]
    ways = ["after a kill", "after a kill, beside others' points", "of older texts"]
    ways += [] if store == "embedded" else ["during the run", "during the run, beside others' points"]
    way = ways[number // 3 % len(ways)]
    trial.verdict.fault = f"restored {way}, {store}"
    command = trial.command(store)
    if "others" in way:
        _with_others(trial, command)
    if way == "of older texts":
        older = write_source(trial.folder / "older.jsonl", seed=5)
        code = trial.finish(trial.start(replace(command, source=older)))
        trial.expect(code == 0, f"expected exit code 0, got {code}")
    if "during" in way:
        first, second = sorted(chance.sample(range(4, 46), 2))
        kept: list[str] = []
        strikes = [
            (first, lambda: kept.append(_snapshot(command))),
            (second, lambda: _recover(command, kept[0])),
        ]
        code = _struck(trial, command, strikes)
        trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
        trial.again_or_restarted(command, first=code)
        return
    if way != "of older texts":
        killed_with_checkpoints(trial, command, most=6)
    copy = _backup(trial, command)
    killed_with_checkpoints(trial, command)
    _restore(trial, command, copy)
    _go_on(trial, command)


def replaced(trial: Trial) -> None:
    """While a run stores, its collection is deleted and made anew, or its alias is switched; by the same model, or by
    another."""
    number, chance = trial.verdict.case.number, trial.chance
    transport = _TRANSPORTS[number % 2]
    alias, foreign = number // 2 % 2 == 1, number // 4 % 2 == 1
    nth = chance.randint(4, 45)
    what = "its alias switched" if alias else "the collection made anew"
    trial.verdict.fault = f"{what} by {'another' if foreign else 'the same'} model with request {nth}, {transport}"
    command, other = trial.command(transport), trial.command(transport)
    few = write_source(trial.folder / "few.jsonl", passages=16)
    model = trial.rig.other_model if foreign else trial.rig.model
    made = trial.finish(trial.start(replace(other, source=few, options=trial.rig.options(model))))
    trial.expect(made == 0, f"the other collection could not be made: exit code {made}")
    trial.station(command).mend()
    if alias:
        first = trial.command(transport)
        made = trial.finish(trial.start(replace(first, source=few)))
        trial.expect(made == 0, f"the first collection could not be made: exit code {made}")
        trial.station(command).mend()
        _alias(command, first)

    def strike() -> None:
        if alias:
            _alias(command, other)
            return
        config = rest(other, "GET", "")["config"]
        rest(command, "DELETE", "")
        made = {"vectors": config["params"]["vectors"], "metadata": config["metadata"]}
        # What is under way may make it wait, or find no collection for a moment.
        rest(command, "PUT", "", made)

    code = _struck(trial, command, [(nth, strike)])
    right = (1,) if foreign else (1, 3)
    trial.expect(code in right, f"expected an exit code of {right}, got {code}")
    if foreign:
        code = trial.finish(trial.start(command))
        trial.expect(code == 1, f"expected exit code 1 into another model's collection, got {code}")
        return
    trial.again_or_restarted(command, first=code)


def killed_with_checkpoints(trial: Trial, command: Command, *, most: int = 12) -> None:
    """A run that was killed when it had saved some checkpoints."""
    strike = {"hook": "strike", "point": "checkpoint saved", "nth": trial.chance.randint(2, most), "action": "kill"}
    code = trial.finish(trial.start(command, [strike]))
    # A resumed run may have fewer checkpoints to save than that.
    trial.expect(code in (-signal.SIGKILL, 0), f"expected a killed run, got exit code {code}")


def delete(trial: Trial, command: Command, ids: Sequence[str]) -> None:
    """As another program does it."""
    if isinstance(command.target, Embedded):
        _job(trial, "delete_points", str(command.target.root), json.dumps(list(ids)))
    elif ids:
        rest(command, "POST", "/points/delete?wait=true", {"points": [_plain(one) for one in ids]})


def add_strangers(trial: Trial, command: Command, many: int) -> None:
    """So many points of another program, which must still be there in the end."""
    payloads = {10**6 + n: {"passage_id": f"stranger-{n}", "text": "of another program"} for n in range(many)}
    vector = np.linspace(-1, 1, DIM).astype(np.float32)
    strangers = {str(one): described(payload, vector) for one, payload in payloads.items()}
    trial.expected = {**trial.expected, **strangers}
    if isinstance(command.target, Embedded):
        _job(trial, "upsert_points", str(command.target.root), json.dumps(payloads), json.dumps(vector.tolist()))
        return
    points = [{"id": one, "payload": payload, "vector": vector.tolist()} for one, payload in payloads.items()]
    rest(command, "PUT", "/points?wait=true", {"points": points})


def rest(command: Command, method: str, path: str, body: object = None) -> Any:
    """Past the proxies."""
    target = command.target
    if not isinstance(target, OnServer):
        raise TypeError("an embedded collection has no server")
    return target.station.rest(target.station.nodes[0]).ask(method, f"/collections/{target.name}{path}", body)


def _go_on(trial: Trial, command: Command) -> None:
    code = trial.finish(trial.start(command))
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    trial.again_or_restarted(command, first=code)


def _with_others(trial: Trial, command: Command) -> None:
    """Store another source's passages first, and expect them to stay."""
    source, points = _others(trial)
    code = trial.finish(trial.start(replace(command, source=source)))
    trial.expect(code == 0, f"expected exit code 0, got {code}")
    trial.expected = {**trial.expected, **points}


def _others(trial: Trial) -> tuple[Path, Expected]:
    """The other source, and what is stored of it: worked out once."""
    source = trial.rig.folder / "others.jsonl"
    if "others" not in trial.rig.notes:
        chance = random.Random(11)
        lines = [json.dumps(record(n, chance)) for n in range(FIRST_OTHER, FIRST_OTHER + OTHERS)]
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        trial.rig.notes["others"] = trial.rig.undisturbed(source, trial.rig.model)
    points: Expected = trial.rig.notes["others"]
    return source, points


def _struck(trial: Trial, command: Command, strikes: Sequence[tuple[int, Callable[[], None]]]) -> int | None:
    """The exit code of a run that is struck each time that the server has the nth request that stores points."""
    wire = trial.station(command).wire
    before = sum(bool(exchange.store) for exchange in wire.exchanges)
    due = {nth: threading.Event() for nth, _ in strikes}
    gone_on = {nth: threading.Event() for nth, _ in strikes}

    def hold(number: int) -> None:
        if (event := due.get(number - before)) is not None:
            event.set()
            gone_on[number - before].wait(20)  # in the proxy's thread: the answer waits until the strike has fallen

    wire.on_sent = hold
    run = trial.start(command)
    for nth, strike in strikes:
        while not due[nth].wait(0.01) and run.wait(0) is None:
            pass
        try:
            strike()
        finally:
            gone_on[nth].set()
    code = trial.finish(run)
    wire.on_sent = lambda number: None
    return code


def _snapshot(command: Command) -> str:
    return str(rest(command, "POST", "/snapshots?wait=true")["name"])


def _recover(command: Command, name: str) -> None:
    target = command.target
    if not isinstance(target, OnServer):
        raise TypeError
    file = target.station.nodes[0].folder / "snapshots" / target.name / name
    rest(command, "PUT", "/snapshots/recover?wait=true", {"location": f"file://{file}", "priority": "snapshot"})


def _backup(trial: Trial, command: Command) -> str:
    """What restores the collection as it is now: a snapshot's name, or a folder."""
    if not isinstance(command.target, Embedded):
        return _snapshot(command)
    copy = trial.folder / "backup"
    shutil.copytree(command.target.root / NAME, copy)
    return str(copy)


def _restore(trial: Trial, command: Command, copy: str) -> None:
    if not isinstance(command.target, Embedded):
        _recover(command, copy)
        return
    shutil.rmtree(command.target.root / NAME)
    shutil.copytree(copy, command.target.root / NAME)


def _alias(command: Command, to: Command) -> None:
    """Have the command's name be an alias of the other's collection."""
    target, other = command.target, to.target
    if not isinstance(target, OnServer) or not isinstance(other, OnServer):
        raise TypeError
    made = {"create_alias": {"collection_name": other.name, "alias_name": target.name}}
    asking = target.station.rest(target.station.nodes[0])
    with suppress(OSError):
        asking.ask("POST", "/collections/aliases", {"actions": [{"delete_alias": {"alias_name": target.name}}]})
    asking.ask("POST", "/collections/aliases", {"actions": [made]})


def _plain(point_id: str) -> int | str:
    return int(point_id) if point_id.isdecimal() else point_id


def _job(trial: Trial, function: str, *arguments: str) -> None:
    trial.job(f"tests.faults.kinds.others:{function}", *arguments)


def delete_points(root: str, ids: str) -> None:
    """A job: another program with the engine, on an embedded collection."""
    import qdrant_edge as edge

    _update(root, edge.UpdateOperation.delete_points([_plain(one) for one in json.loads(ids)]))


def delete_vectors(root: str, ids: str, name: str) -> None:
    """A job: the same for vectors of that name."""
    import qdrant_edge as edge

    _update(root, edge.UpdateOperation.delete_vectors([_plain(one) for one in json.loads(ids)], [name]))


def upsert_points(root: str, payloads: str, vector: str) -> None:
    """A job: the same for new points."""
    import qdrant_edge as edge

    given: Mapping[str, Any] = json.loads(payloads)
    points = [edge.Point(int(one), json.loads(vector), payload) for one, payload in given.items()]
    _update(root, edge.UpdateOperation.upsert_points(points))


def _update(root: str, operation: Any) -> None:
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(str(Path(root) / NAME / "shard"))
    shard.update(operation)
    shard.flush()
    shard.close()
