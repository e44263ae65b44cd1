"""One contestant at a time, into a fresh server: our commands one after another, or a peer's process that is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from qdrant_client import QdrantClient

from benchmarks.ingesting.commands import ROOT, WORKERS, Program
from benchmarks.ingesting.contestants import SCRIPTS, Peer
from benchmarks.ingesting.results import AGAIN, EMBEDDED, SEARCHABLE, STARTED, STORED, VERIFIED, Run
from benchmarks.loading.contestants import SCRIPTS as ANSWERING
from benchmarks.loading.turns import fresh_server
from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.environments import inherited, offline
from benchmarks.running.processes import Session, cpu_of, looking
from tasb_qdrant.collection.server.index import wait_until_indexed
from tests.qdrant_servers import QdrantServer

COLLECTION: Final = "ingested"
DEFAULT_KB: Final = 10_000
"""Qdrant's own: from so many KB on a segment is indexed."""

_DIM: Final = 768
_PATIENCE: Final = 900.0
_WARMING: Final = 64


@dataclass(frozen=True, slots=True)
class Task:
    """What everyone is given: `count` passages of `source`, `few` of which only show what a start takes."""

    source: Path
    count: int
    few: int
    model: Path
    device: str
    workers: str = ""


@dataclass(frozen=True, slots=True)
class Ours:
    """The commands of one round. `keep` is told of each run when it has ended, `goes_on` asked before each."""

    program: Program
    task: Task
    build: Path
    keep: Callable[[Run], None]
    goes_on: Callable[[str], bool]

    def at_server(self, number: int) -> int:
        """Start, store, compare, verify; then, in another server, store and index. Returns the collection's shards."""
        shards = 0
        with fresh_server(self.build) as server, self._state() as state:
            if number == 0:  # kernels are compiled, and files get into the page cache
                self._run(
                    "", number, ["ingest", *self._few, *self._place(server, "warming"), *self._ours(state)], server
                )
            place = self._place(server, COLLECTION)
            for work, source, where, options in (
                (STARTED, self._few, self._place(server, "starting"), ["--no-optimize"]),
                (STORED, [str(self.task.source)], place, ["--no-optimize"]),
                (AGAIN, [str(self.task.source)], place, ["--no-optimize"]),
            ):
                self._run(work, number, ["ingest", *source, *where, *self._ours(state), *options], server)
            shards = _shards(server)
            verify = ["collection", "verify", "--source", str(self.task.source), *place, *self._encoder]
            self._run(VERIFIED, number, verify, server)
        with fresh_server(self.build) as server, self._state() as state:
            load = ["ingest", str(self.task.source), *self._place(server, COLLECTION), *self._ours(state)]
            self._run(SEARCHABLE, number, load, server)
        return shards

    def embedded(self, number: int) -> None:
        """Store in a folder."""
        with self._state() as state:
            place = ["--path", f"{state}/embedded", "--collection", COLLECTION]
            load = ["ingest", str(self.task.source), *place, *self._ours(state), "--no-optimize"]
            self._run(EMBEDDED, number, load, None)

    def _run(self, work: str, number: int, arguments: list[str], server: QdrantServer | None) -> None:
        if not self.goes_on(f"tasb-qdrant, {work or 'warming up'}"):
            return
        pid = None if server is None else _pid(server)
        run, answer = self.program.run(work, number=number, arguments=arguments, server=pid)
        if work == SEARCHABLE:
            run = replace(run, busy_s=float(answer["seconds"]))
        if work:
            self.keep(run)

    @property
    def _few(self) -> list[str]:
        return [str(self.task.source), "--limit", str(self.task.few)]

    def _ours(self, state: str) -> list[str]:
        workers = [WORKERS, self.task.workers] if self.task.workers else []
        return [*self._encoder, "--state", state, *workers]

    @property
    def _encoder(self) -> list[str]:
        return ["--model", str(self.task.model), "--device", self.task.device]

    def _place(self, server: QdrantServer, collection: str) -> list[str]:
        return ["--url", server.url, "--grpc-port", str(server.grpc_port), "--collection", collection]

    def _state(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(dir=self.build.resolve(), prefix="state-")


def peer_turn(peer: Peer, task: Task, *, number: int, build: Path, installed: bool, texts: list[str]) -> list[Run]:
    """Text to stored, until the server counts all, and on to searchable, until it has indexed what it will.

    Raises ContestantFailedError."""
    count = max(1, round(task.count * peer.share))
    start = time.perf_counter()
    with fresh_server(build) as server, _invited(peer, build, installed=installed) as conversation:
        settings = {"model": str(task.model), "device": task.device}
        conversation.ask(do="prepare", source=str(task.source), count=count, **settings)
        conversation.ask(do="warm", texts=texts[:_WARMING], batch=peer.batch)
        conversation.ask(do="create", url=server.url, grpc_port=server.grpc_port, collection=COLLECTION)
        session, pid = Session(conversation.pid), _pid(server)
        session.look()
        main, children, serving = session.main_cpu_s, session.children_cpu_s, cpu_of(pid)
        ready = time.perf_counter()
        with looking(session.look), closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
            conversation.ask(do="load", batch=peer.batch, parallel=peer.parallel)
            _wait_until_counted(client, count)
            stored = time.perf_counter()
            session.look()
            run = Run(
                work=STORED,
                round=number,
                passages=count,
                seconds=stored - start,
                busy_s=stored - ready,
                main_cpu_s=session.main_cpu_s - main,
                children_cpu_s=session.children_cpu_s - children,
                server_cpu_s=cpu_of(pid) - serving,
                processes=session.processes,
                memory_mib=session.memory_mib,
            )
            wait_until_indexed(
                lambda: client.get_collection(COLLECTION),
                vector_bytes=4 * _DIM,
                threshold_kb=DEFAULT_KB,
                nudge=lambda: None,
                on_progress=None,
                sleep=time.sleep,
            )
            indexed = time.perf_counter()
        conversation.ask(do="close")
    return [run, Run(SEARCHABLE, number, count, indexed - start, indexed - ready)]


def stages_alone(source: Path, task: Task, *, build: Path) -> dict[str, float]:
    """Passages a second. Raises ContestantFailedError."""
    log = build / "logs" / "stages.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.ingesting.stages", str(source), str(task.model), task.device]
    with log.open("w") as printed:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=printed, cwd=ROOT, check=False)
    if done.returncode:
        raise ContestantFailedError(f"the stages failed, see {log}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _invited(peer: Peer, build: Path, *, installed: bool) -> Conversation:
    command: list[Any] = [peer.python(build, installed=installed), ANSWERING / "answering.py", peer.script]
    settings = json.dumps({"variant": peer.variant})
    log = build / "logs" / f"{peer.name}.log"
    environment = inherited(SCRIPTS) if installed else offline(PYTHONPATH=str(SCRIPTS))
    return Conversation([*map(str, command), settings], log=log, environment=environment, patience=_PATIENCE)


def _wait_until_counted(client: QdrantClient, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while client.count(COLLECTION, exact=True).count < count:
        if time.monotonic() > deadline:
            raise ContestantFailedError(f"the server doesn't count {count} points")


def _shards(server: QdrantServer) -> int:
    with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
        return int(client.get_collection(COLLECTION).config.params.shard_number or 1)


def _pid(server: QdrantServer) -> int:
    if server.process is None:
        raise ContestantFailedError("the server has ended")
    return server.process.pid
