"""All that cases share: the process that forks runs, servers, models, sources, and what must come of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from tests.faults import oracle
from tests.faults.corpus import make_model, write_source
from tests.faults.launch import Zygote
from tests.faults.oracle import Expected
from tests.faults.stations import SMALL, Station
from tests.faults.targets import Embedded, OnServer, Target
from tests.qdrant_cluster import qdrant_cluster
from tests.qdrant_servers import QdrantServer

VERSION: Final = "1.17.0"

_SMALL_DISK: Final = "96m"

WITH_WORDS: Final = ("--bm25",)
"""The options that store words beside the vectors."""


class Rig:
    """To be used in a `with` block, by one thread. What a case doesn't need is not started."""

    def __init__(self, *, keep: Path | None = None) -> None:
        self.keep = keep
        """Where the folders of failed cases go, if they are wanted."""
        self._stack = ExitStack()
        memory = Path("/dev/shm")
        self.folder = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="tasb-faults-",
                    dir=memory if os.access(memory, os.W_OK) else None,
                    ignore_cleanup_errors=True,
                )
            )
        )
        self.key = f"canary-{uuid.uuid4().hex}"
        """The servers' API key, which must not be found in anything that the program writes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and delete all files."""
        self._stack.close()

    @cached_property
    def zygote(self) -> Zygote:
        """With everything imported that a run has imported at its end."""
        zygote = self._stack.enter_context(Zygote(self.folder))
        listing = self.folder / "modules"
        for target in (self.embedded(self._scratch("warm"), zygote), self.on_server("grpc")):
            run = zygote.start(
                ["ingest", str(self.source), *target.argv(), *self.options(self.model)],
                folder=self._scratch("warm"),
                name=target.store,
                environment=self.environment(self._scratch("warm")),
                hooks=[{"hook": "tests.faults.rig:list_modules", "file": str(listing)}],
                pace=0.05,
            )
            if run.wait(120) != 0:
                raise RuntimeError(f"an undisturbed run failed: {run.said()[-3000:]}")
            zygote.preload(json.loads(listing.read_text()))
            target.discard()
        shutil.rmtree(self._scratch("warm"))
        return zygote

    @cached_property
    def model(self) -> Path:
        """The encoder of all cases that don't change it."""
        return make_model(self.folder / "model")

    @cached_property
    def other_model(self) -> Path:
        """The same with other weights."""
        return make_model(self.folder / "other-model", seed=1)

    @cached_property
    def source(self) -> Path:
        """The passages of all cases that don't change them."""
        return write_source(self.folder / "passages.jsonl")

    @cached_property
    def server(self) -> Station:
        """A single server, with a key."""
        node = self._stack.enter_context(
            QdrantServer.start(VERSION, self.folder / "server", api_key=self.key, config=SMALL)
        )
        return self._station(Station([node]))

    @cached_property
    def cluster(self) -> Station:
        """Three nodes."""
        made = self._stack.enter_context(qdrant_cluster(self.folder / "cluster"))
        return self._station(Station(made.nodes, joined=made.wait_until_joined))

    @cached_property
    def small_disk(self) -> Station | None:
        """A server on a disk of a few megabytes of its own, or None where none can be mounted."""
        folder = self.small_disk_folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            return None
        self._stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
        node = self._stack.enter_context(QdrantServer.start(VERSION, folder / "server", api_key=self.key, config=SMALL))
        return self._station(Station([node]))

    @property
    def small_disk_folder(self) -> Path:
        """Where it is mounted."""
        return self.folder / "small-disk"

    @cached_property
    def notes(self) -> dict[str, Any]:
        """What kinds of faults have counted once and keep."""
        return {}

    @cached_property
    def expected(self) -> Expected:
        """What any store must hold in the end: an undisturbed run's points, themselves held against the source."""
        return self.undisturbed(self.source, self.model)

    @cached_property
    def expected_with_words(self) -> Expected:
        """The same of a run that stores words, too."""
        found = self.undisturbed(self.source, self.model, *WITH_WORDS)
        if any(numbers.size <= self.expected[point_id][1].size for point_id, (_, numbers) in found.items()):
            raise RuntimeError("an undisturbed run with --bm25 stored points without words")
        return found

    def undisturbed(self, source: Path, model: Path, *options: str) -> Expected:
        """What a run on this source, with these options, leaves that nothing disturbs."""
        folder = self._scratch("undisturbed")
        target = self.embedded(folder)
        run = self.zygote.start(
            ["ingest", str(source), *target.argv(), *self.options(model), *options, "--no-optimize"],
            folder=folder,
            name="run",
            environment=self.environment(folder),
        )
        if run.wait(60) not in (0, 3):
            raise RuntimeError(f"an undisturbed run failed: {run.said()[-3000:]}")
        held = target.held()[0]
        shutil.rmtree(folder)
        payloads = {json.loads(payload)["passage_id"]: payload for payload, _ in held.points.values()}
        if payloads != oracle.from_source(source) or held.doubled:
            raise RuntimeError("an undisturbed run did not store just what its source has")
        return held.points

    def options(self, model: Path) -> list[str]:
        """Of every run."""
        return ["--model", str(model), "--device", "cpu", "--precision", "fp32", "--index", "year:integer", "--json"]

    def embedded(self, folder: Path, zygote: Zygote | None = None) -> Embedded:
        """A new embedded store in `folder`."""
        return Embedded(zygote or self.zygote, folder)

    def on_server(self, transport: str, *, station: Station | None = None) -> OnServer:
        """A new collection on the server, which is well again, or on another station."""
        where = station or self.server
        where.mend()
        return OnServer(where, transport=transport, name=f"c{uuid.uuid4().hex[:12]}")

    def target(self, kind: str, folder: Path) -> Target:
        """By name: embedded, grpc, rest, cluster grpc, cluster rest, disk grpc, disk rest."""
        if kind == "embedded":
            return self.embedded(folder)
        where, _, transport = kind.rpartition(" ")
        station = self.cluster if where == "cluster" else self.small_disk if where == "disk" else self.server
        return self.on_server(transport, station=station)

    def environment(self, folder: Path) -> dict[str, str]:
        """Of a run whose every file shall be in `folder`, the temporary ones too."""
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        home = str(folder)
        return {
            "QDRANT_API_KEY": self.key,
            "HOME": home,
            "XDG_STATE_HOME": f"{home}/xdg-state",
            "XDG_CACHE_HOME": f"{home}/xdg-cache",
            "TMPDIR": str(temporary),
            "SQLITE_TMPDIR": str(temporary),
        }

    def census(self, kind: str, *options: str) -> dict[str, int]:
        """How often an undisturbed run, with these options, reaches each point."""
        known = (kind, *options)
        if known not in self._censuses:
            folder = self._scratch(f"census-{kind}")
            target = self.target(kind, folder)
            counted = folder / "census"
            run = self.zygote.start(
                ["ingest", str(self.source), *target.argv(), *self.options(self.model), *options],
                folder=folder,
                name="run",
                environment=self.environment(folder),
                hooks=[{"hook": "census", "file": str(counted)}],
                pace=0.05,
            )
            if run.wait(120) != 0:
                raise RuntimeError(f"an undisturbed run failed: {run.said()[-3000:]}")
            self._censuses[known] = json.loads(counted.read_text())
            target.discard()
            shutil.rmtree(folder)
        return self._censuses[known]

    @cached_property
    def _censuses(self) -> dict[tuple[str, ...], dict[str, int]]:
        return {}

    def _station(self, station: Station) -> Station:
        self._stack.callback(station.close)
        return station

    def _scratch(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def list_modules(file: str) -> None:
    """A hook: at the end of the run, write the names of all modules that it has imported."""
    import atexit
    import sys

    atexit.register(lambda: Path(file).write_text(json.dumps([name for name in sys.modules if name != "__main__"])))
