"""Servers to be mistreated, each behind proxies that log what it acknowledges."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from tests.faults.grpc_proxy import GrpcProxy
from tests.faults.oracle import Rest
from tests.faults.rest_proxy import RestProxy
from tests.faults.wire import Wire
from tests.qdrant_servers import QdrantServer

ACTIVE_SECONDS: Final = 60.0

SMALL: Final = {"storage": {"wal": {"wal_capacity_mb": 1, "wal_segments_ahead": 0}}}
"""Logs of 1 MB instead of 32: thousands of collections are made."""


class Station:
    """One server, or the nodes of a cluster. The program talks to the first through the proxies."""

    def __init__(self, nodes: Sequence[QdrantServer], *, joined: Callable[[], None] = lambda: None) -> None:
        self.nodes = nodes
        self.wire = Wire()
        self._joined = joined
        first = nodes[0]
        self._rest = RestProxy((first.host, first.http_port), self.wire)
        self._grpc = GrpcProxy((first.host, first.grpc_port), self.wire)

    @property
    def url(self) -> str:
        """Where the program finds it."""
        return f"http://127.0.0.1:{self._rest.port}"

    @property
    def grpc_port(self) -> int:
        """The same for gRPC."""
        return self._grpc.port

    @property
    def arguments(self) -> list[str]:
        """How a new collection is to be replicated."""
        return ["--replicas", "3", "--write-consistency", "2"] if len(self.nodes) > 1 else []

    def rest(self, node: QdrantServer) -> Rest:
        """Past the proxies."""
        return Rest(node.host, node.http_port, node.api_key)

    def mend(self) -> None:
        """Every node runs again, and the log is empty."""
        self.wire.reset()
        self.mend_nodes()

    def mend_nodes(self) -> None:
        """Every node runs again."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                node.restart()
            else:
                node.resume()
        self._joined()

    def wait_until_active(self, collection: str) -> str:
        """Wait for all replicas to be active; says what is not, when that takes too long."""
        if len(self.nodes) == 1:
            return ""
        deadline = time.monotonic() + ACTIVE_SECONDS
        while waiting := self._inactive(collection):
            if time.monotonic() > deadline:
                return waiting
            time.sleep(0.1)
        return ""

    def _inactive(self, collection: str) -> str:
        for node in self.nodes:
            try:
                state = self.rest(node).ask("GET", f"/collections/{collection}/cluster", seconds=5)
            except OSError as error:
                return f"{node.url} doesn't answer ({error})"
            for shard in [*state["local_shards"], *state["remote_shards"]]:
                if shard["state"] != "Active":
                    return f"{node.url} says {shard}"
            if state["shard_transfers"]:
                return f"{node.url} says {state['shard_transfers']}"
        return ""

    def delete(self, collection: str) -> None:
        """Delete it, if it is there."""
        with suppress(OSError):
            self.rest(self.nodes[0]).ask("DELETE", f"/collections/{collection}")

    def close(self) -> None:
        """Close the proxies. The nodes belong to whoever started them."""
        self._rest.close()
        self._grpc.close()
