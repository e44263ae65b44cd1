"""One contestant at a time: a fresh server, a fresh process, and the time that both of them took."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qdrant_client import QdrantClient

from benchmarks.loading.contestants import SCRIPTS, Contestant
from benchmarks.loading.points import Points
from benchmarks.loading.results import Turn
from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.environments import inherited, offline
from benchmarks.running.processes import cpu_of, cpu_of_session
from tests.qdrant_servers import QdrantServer

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = "1.17.0"
COLLECTION: Final = "loaded"
PATIENCE: Final = 900.0


@dataclass(frozen=True, slots=True)
class Settings:
    batch: int
    parallel: int


@contextmanager
def fresh_server(build: Path) -> Iterator[QdrantServer]:
    """An empty server on loopback, whose files are deleted afterwards."""
    build.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=build.resolve(), prefix="server-") as folder,
        QdrantServer.start(VERSION, Path(folder)) as server,
    ):
        yield server


def take_turn(
    contestant: Contestant, points: Points, *, count: int, settings: Settings, build: Path, number: int
) -> Turn:
    """`count` points stored: from the call until the server counts every one of them.

    Raises ContestantFailedError."""
    with fresh_server(build) as server, _invited(contestant, build) as conversation:
        conversation.ask(do="prepare", folder=str(points.folder), count=count)
        conversation.ask(do="create", url=server.url, grpc_port=server.grpc_port, collection=COLLECTION)
        with closing(QdrantClient(url=server.url, check_compatibility=False)) as counting:
            client, serving = cpu_of_session(conversation.pid), cpu_of(_pid(server))
            start = time.perf_counter()
            took = conversation.ask(do="load", batch=settings.batch, parallel=settings.parallel)["seconds"]
            while counting.count(COLLECTION, exact=True).count < count:
                if time.perf_counter() - start > PATIENCE:
                    raise ContestantFailedError(f"the server doesn't count {count} points")
            seconds = time.perf_counter() - start
        client, serving = cpu_of_session(conversation.pid) - client, cpu_of(_pid(server)) - serving
        conversation.ask(do="close")
    return Turn(number, count, seconds, took, client, serving)


@contextmanager
def _invited(contestant: Contestant, build: Path) -> Iterator[Conversation]:
    script = str(SCRIPTS / "answering.py")
    settings = json.dumps({"variant": contestant.variant})
    command = [str(contestant.python(build)), script, contestant.script, settings]
    environment = offline() if contestant.environment else inherited(ROOT)
    log = build / "logs" / f"{contestant.name}.log"
    with Conversation(command, log=log, environment=environment, patience=PATIENCE) as conversation:
        yield conversation


def packages_of(contestant: Contestant, build: Path) -> dict[str, str]:
    """The versions in its environment."""
    code = "from importlib.metadata import distributions as d; import json; "
    code += "print(json.dumps({x.metadata['Name']: x.version for x in d()}))"
    said = subprocess.run(
        [str(contestant.python(build)), "-c", code], capture_output=True, check=True, env=offline()
    ).stdout
    found: dict[str, str] = json.loads(said)
    return dict(sorted(found.items()))


def _pid(server: QdrantServer) -> int:
    if server.process is None:
        raise ContestantFailedError("the server has ended")
    return server.process.pid
