"""Those who search: in processes that were forked after the opening, and against servers that stand still or trickle."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.faults.stub import Stub, answers_of
from tests.faults.targets import Embedded, OnServer
from tests.faults.trial import Command, Trial

_STORES: Final = ("embedded", "grpc", "rest")

_CHILDREN: Final = 3
_QUERIES: Final = 30
_CHILD_SECONDS: Final = 20.0

TIMEOUT: Final = 0.4
LATEST: Final = 6.0
"""Seconds within which a call of TIMEOUT has ended even on a busy machine; what it waits for takes much longer."""

_STILL: Final = 20.0


def forked(trial: Trial) -> None:
    """A searcher that was opened, and used, before a fork is used by three children and the parent at once: every hit is
    right, or there is an error with a name. Nobody hangs."""
    number = trial.verdict.case.number
    store = _STORES[number % 3]
    trial.verdict.fault = f"searched by {_CHILDREN} forked children and the parent, {store}"
    command = _filled(trial, store)
    found = _report(trial, "fork_and_search", json.dumps(_where(command)), str(trial.rig.model), str(command.source))
    trial.verdict.faults = _CHILDREN
    for who, counts in found.items():
        trial.verdict.hangs += counts.pop("hung", 0)
        trial.verdict.wrong += counts.pop("wrong", 0)
        counts.pop("right", None)
        unnamed = [what for what in counts if not what.startswith("named ")]
        trial.expect(not unnamed, f"{who}: {unnamed}")
    trial.expect("named" not in "".join(found["parent"]), f"the parent can't search any more: {found['parent']}")
    if store != "embedded":  # the parent's process writes here otherwise
        command.target.discard()


def deadline(trial: Trial) -> None:
    """Each call with a timeout ends within it, whatever the server does: stands still, or sends a byte now and then."""
    number = trial.verdict.case.number
    ways = (*STANDING, "the real server stopped, grpc", "the real server stopped, rest")
    way = ways[number % len(ways)]
    trial.verdict.fault = f"a deadline of {TIMEOUT} s, {way}"
    if way in STANDING:
        found = _report(trial, "call_stub", way, str(trial.verdict.case.seed))
    else:
        command = _filled(trial, way.rpartition(" ")[2])
        node = trial.station(command).nodes[0]
        given = json.dumps(_real(command, node))
        ready, go = trial.folder / "ready", trial.folder / "go"
        run = _job(trial, "call_stopped", given, str(trial.rig.model), str(ready), str(go))
        until = time.monotonic() + 30
        while not ready.exists() and run.wait(0.02) is None and time.monotonic() < until:
            pass
        node.pause()
        try:
            go.touch()
            found = _finished(trial, run)
        finally:
            node.resume()
    trial.verdict.faults = max(1, len(found))
    for call, (seconds, outcome) in found.items():
        trial.verdict.hangs += seconds > LATEST
        trial.expect(seconds <= LATEST, f"{call} took {seconds:.1f} s: {outcome[:80]}")
        trial.expect(not outcome.startswith("unnamed"), f"{call}: {outcome[:200]}")


def fork_and_search(where: str, model: str, source: str, target: str) -> None:
    """A job: what each process's searches came to."""
    from tasb_qdrant import Searcher
    from tasb_qdrant.errors import TasbQdrantError

    texts = [json.loads(line)["text"] for line in Path(source).read_text().splitlines()][::12]
    searcher = Searcher(**json.loads(where), model=model, device="cpu", precision="fp32")

    def ids(text: str) -> list[str]:
        return [hit.id for hit in searcher.search(text, limit=3, exact=True, timeout=10)]

    right = {text: ids(text) for text in texts}

    def search(seed: int) -> Counter[str]:
        chance, counts = random.Random(seed), Counter[str]()
        for _ in range(_QUERIES):
            text = chance.choice(texts)
            try:
                counts["right" if ids(text) == right[text] else "wrong"] += 1
            except TasbQdrantError as error:
                counts[f"named {type(error).__name__}"] += 1
                break  # it says so each time
            except Exception as error:
                counts[f"{type(error).__name__}: {str(error)[:100]}"] += 1
                break
        return counts

    children: dict[int, Path] = {}
    for number in range(_CHILDREN):
        file = Path(f"{target}.{number}")
        if (pid := os.fork()) == 0:
            try:
                file.write_text(json.dumps(search(number)))
            finally:
                os._exit(0)
        children[pid] = file
    found: dict[str, dict[str, int]] = {"parent": search(99)}
    until = time.monotonic() + _CHILD_SECONDS
    for number, (pid, file) in enumerate(children.items()):
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.01)
        found[f"child {number}"] = json.loads(file.read_text()) if file.exists() else {"hung": 1}
    Path(target).write_text(json.dumps(found))


def _calls() -> dict[str, Callable[[Any], object]]:
    """What a searcher can be asked for, each with a deadline."""
    return {
        "search": lambda s: s.search("bee", timeout=TIMEOUT),
        "search with a filter": lambda s: s.search("bee", where="year > 3", timeout=TIMEOUT),
        "search_batch": lambda s: s.search_batch(["bee", "owl"], timeout=TIMEOUT),
        "count": lambda s: s.count("year > 3", timeout=TIMEOUT),
        "get": lambda s: s.get(["1"], timeout=TIMEOUT),
        "rerank": lambda s: s.rerank("bee", ["1"], timeout=TIMEOUT),
        "scroll": lambda s: next(iter(s.scroll(timeout=TIMEOUT)), None),
        "more_like_this": lambda s: s.more_like_this("1", timeout=TIMEOUT),
    }


def _silent(handler: Any, body: bytes) -> None:
    time.sleep(_STILL)


def _trickling_headers(handler: Any, body: bytes) -> None:
    handler.send_response(200)
    for number in range(int(_STILL / 0.1)):
        handler.send_header(f"x-{number}", "y")
        handler.flush_headers()
        time.sleep(0.1)


def _trickling_body(handler: Any, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100000")
    handler.end_headers()
    for _ in range(int(_STILL / 0.1)):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


STANDING: Final[dict[str, Any]] = {
    "no answer, rest": _silent,
    "headers that trickle, rest": _trickling_headers,
    "a body that trickles, rest": _trickling_body,
    "503 for ever, rest": lambda handler, body: (503, b"busy"),
    "429 with an hour to wait, rest": lambda handler, body: (429, b"slow", [("retry-after", "3600")]),
}


def call_stub(way: str, seed: str, target: str) -> None:
    """A job: how long some calls take, over the two searchers, once the server behaves like that."""
    from tasb_qdrant import AsyncSearcher, Searcher
    from tests.ingest.fakes import StubEncoder

    chance, found = random.Random(int(seed)), {}
    chosen = chance.sample(sorted(_calls()), 2)
    with Stub() as stub, Searcher("c", url=stub.url, transport="rest", encoder=StubEncoder()) as searcher:
        stub.answer = answers_of({"/collections": STANDING[way]})
        for name in chosen:
            found[name] = _timed(lambda name=name: _calls()[name](searcher))  # type: ignore[misc]  # bound now
        stub.answer = answers_of({})

        async def awaited() -> tuple[float, str]:
            async with AsyncSearcher("c", url=stub.url, transport="rest", encoder=StubEncoder()) as other:
                stub.answer = answers_of({"/points/": STANDING[way]})
                began = time.monotonic()
                outcome = "ok"
                try:
                    await other.search("bee", timeout=TIMEOUT)
                except BaseException as error:
                    outcome = _named(error)
                return time.monotonic() - began, outcome

        found["await search"] = asyncio.run(awaited())
        stub.answer = answers_of({"": STANDING[way]})
        if chance.random() < 0.5:
            found["opening"] = _timed(
                lambda: Searcher("c", url=stub.url, transport="rest", encoder=StubEncoder(), read_timeout=TIMEOUT)
            )
    Path(target).write_text(json.dumps(found))


def call_stopped(where: str, model: str, ready: str, go: str, target: str) -> None:
    """A job: the same against a real server, which is stopped once this has opened its collection."""
    from tasb_qdrant import Searcher

    with Searcher(**json.loads(where), model=model, device="cpu", precision="fp32") as searcher:
        searcher.search("bee")  # the model is loaded
        Path(ready).touch()
        while not Path(go).exists():
            time.sleep(0.005)
        found = {name: _timed(lambda name=name: _calls()[name](searcher)) for name in ("search with a filter", "get")}  # type: ignore[misc]  # bound now
        Path(target).write_text(json.dumps(found))
    os._exit(0)  # what waits for the server is not waited for


def _timed(call: Callable[[], object]) -> tuple[float, str]:
    began, outcome = time.monotonic(), "ok"
    try:
        call()
    except BaseException as error:
        outcome = _named(error)
    return time.monotonic() - began, outcome


def _named(error: BaseException) -> str:
    from tasb_qdrant.errors import TasbQdrantError

    said = f"{type(error).__name__}: {error}"
    return said if isinstance(error, TasbQdrantError) else f"unnamed {said}"


def _filled(trial: Trial, store: str) -> Command:
    command = trial.command(store)
    code = trial.finish(trial.start(command))
    trial.expect(code == 0, f"expected exit code 0, got {code}")
    return command


def _where(command: Command) -> dict[str, Any]:
    target = command.target
    if isinstance(target, Embedded):
        return {"collection": "c", "path": str(target.root)}
    if not isinstance(target, OnServer):
        raise TypeError
    return {
        "collection": target.name,
        "url": target.station.url,
        "grpc_port": target.station.grpc_port,
        "transport": target.transport,
    }


def _real(command: Command, node: Any) -> dict[str, Any]:
    """Past the proxies, which a stopped server doesn't stop."""
    return _where(command) | {"url": node.url, "grpc_port": node.grpc_port}


def _job(trial: Trial, function: str, *arguments: str) -> Any:
    return trial.rig.zygote.start(
        [*arguments, str(trial.folder / "found.json")],
        folder=trial.folder,
        name="job",
        environment=trial.rig.environment(trial.folder),
        job=f"tests.faults.kinds.readers:{function}",
        seed=trial.verdict.case.seed,
    )


def _finished(trial: Trial, run: Any) -> dict[str, Any]:
    status = run.wait(40)
    run.end()
    file = trial.folder / "found.json"
    if status is None:
        trial.verdict.hangs += 1
        trial.verdict.problems.append("the searching process hung")
    elif not file.exists():
        trial.verdict.problems.append(f"the searching process ended with {status}: {run.said()[-300:]}")
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _report(trial: Trial, function: str, *arguments: str) -> dict[str, Any]:
    return _finished(trial, _job(trial, function, *arguments))
