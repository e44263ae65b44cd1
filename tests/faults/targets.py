"""Where a case stores its passages, and how to look at what is there without the program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from tests.faults.launch import Zygote
from tests.faults.oracle import Held, read_dump
from tests.faults.stations import Station

NAME: Final = "c"


class Target(Protocol):
    """A collection that isn't there yet."""

    @property
    def store(self) -> str: ...

    def argv(self) -> list[str]:
        """The options that name it."""
        ...

    def hooks(self) -> list[Mapping[str, Any]]:
        """What each run needs for the log of what was acknowledged."""
        ...

    def held(self) -> list[Held]:
        """What each replica holds; none where there is no collection."""
        ...

    def stored(self) -> list[str]:
        """The ids that were acknowledged, in that order, as often as they were."""
        ...

    def discard(self) -> None: ...


class Embedded:
    """In a folder."""

    store = "embedded"

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.root = folder / "store"
        self._zygote = zygote
        self._folder = folder
        self._acks = folder / "acked"

    def argv(self) -> list[str]:
        return ["--path", str(self.root), "--collection", NAME]

    def hooks(self) -> list[Mapping[str, Any]]:
        return [{"hook": "tests.faults.acks:log_embedded", "file": str(self._acks)}]

    def held(self) -> list[Held]:
        if not (self.root / NAME / "collection.json").exists():
            return []
        target = self._folder / "dump"
        run = self._zygote.start(
            [str(self.root), NAME, str(target)],
            folder=self._folder,
            name="dump",
            environment={},
            job="tests.faults.oracle:dump_embedded",
        )
        if (status := run.wait(60)) != 0:
            run.end()
            raise RuntimeError(f"the embedded collection can't be read ({status}): {run.said()[-2000:]}")
        return [read_dump(target, "embedded")]

    def stored(self) -> list[str]:
        return self._acks.read_text().split() if self._acks.exists() else []

    def discard(self) -> None:
        """The case's folder is deleted as a whole."""


class OnServer:
    """On a server or a cluster, over one of the two transports."""

    store = "server"

    def __init__(self, station: Station, *, transport: str, name: str) -> None:
        self.station = station
        self.name = name
        self.transport = transport

    def argv(self) -> list[str]:
        where = ["--url", self.station.url, "--transport", self.transport, "--grpc-port", str(self.station.grpc_port)]
        return [*where, "--collection", self.name, *self.station.arguments]

    def hooks(self) -> list[Mapping[str, Any]]:
        return []

    def held(self) -> list[Held]:
        station = self.station
        found = [station.rest(node).held(self.name, f"node {n}") for n, node in enumerate(station.nodes)]
        if len(station.nodes) > 1:
            found.append(station.rest(station.nodes[0]).held(self.name, "all nodes", consistency="all"))
        return [one for one in found if one is not None]

    def stored(self) -> list[str]:
        return [
            point_id for exchange in list(self.station.wire.exchanges) if exchange.acked for point_id in exchange.ids
        ]

    def discard(self) -> None:
        self.station.delete(self.name)
