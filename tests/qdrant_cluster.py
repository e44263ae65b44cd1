"""A Qdrant cluster on loopback for the tests: three nodes of 1.17.0, each of them a `QdrantServer`.

python -m tests.qdrant_cluster              run one in a temporary folder until Ctrl-C
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.qdrant_servers import PortTakenError, QdrantServer, ServerError, free_port

VERSION: Final = "1.17.0"
SETTLE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05

# Raft's own default is 100 ms too; said here since the tests' deadlines rest on it.
_TICK_MS: Final = 100


@dataclass(frozen=True)
class QdrantCluster:
    """Nodes that know each other. Each has `url`, `grpc_port`, `kill`, `restart`, `pause`, `resume`.

    A node keeps its ports, data and peer id over `kill` and `restart`.
    """

    nodes: Sequence[QdrantServer]

    @property
    def url(self) -> str:
        """The first node's, as a person would name the cluster."""
        return self.nodes[0].url

    @property
    def grpc_port(self) -> int:
        """The first node's."""
        return self.nodes[0].grpc_port

    def peer_id(self, node: QdrantServer) -> int:
        """The number under which the cluster knows this node, which must be up."""
        return int(_get(node, "/cluster")["peer_id"])

    def wait_until_joined(self, *, seconds: float = SETTLE_SECONDS) -> None:
        """Return when every node knows every other, all agree on a leader, and consensus works. Raises ServerError."""
        self._wait(self._unjoined, seconds)

    def wait_until_active(self, collection: str, *, seconds: float = SETTLE_SECONDS) -> None:
        """Return when all nodes say that all replicas of the collection are Active and none is transferred.

        Active replicas needn't be equal. Raises ServerError.
        """
        self._wait(lambda: self._inactive(collection), seconds)

    def _wait(self, look: Callable[[], str], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while why := look():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{node.url}:\n{node.log_tail()}" for node in self.nodes)
                raise ServerError(f"the cluster was not ready within {seconds:.0f} s: {why}; its logs end:\n{logs}")
            time.sleep(_POLL_SECONDS)  # nothing tells when consensus is reached: ask

    def _unjoined(self) -> str:
        """What is missing, or an empty string."""
        leaders = set()
        for node in self.nodes:
            try:
                state = _get(node, "/cluster")
            except (OSError, http.client.HTTPException) as error:
                return f"{node.url} doesn't answer ({error})"
            if len(state.get("peers", {})) != len(self.nodes):
                return f"{node.url} knows {len(state.get('peers', {}))} of {len(self.nodes)} nodes"
            if state["consensus_thread_status"]["consensus_thread_status"] != "working":
                return f"{node.url}: consensus is {state['consensus_thread_status']}"
            leaders.add(state["raft_info"]["leader"])
        return "" if len(leaders) == 1 and None not in leaders else f"the leader is one of {leaders}"

    def _inactive(self, collection: str) -> str:
        for node in self.nodes:
            try:
                state = _get(node, f"/collections/{collection}/cluster")
            except (OSError, http.client.HTTPException) as error:
                return f"{node.url} doesn't answer ({error})"
            shards = [*state["local_shards"], *state["remote_shards"]]
            if waiting := [shard for shard in shards if shard["state"] != "Active"]:
                return f"{node.url} says {waiting}"
            if state["shard_transfers"]:
                return f"{node.url} says {state['shard_transfers']}"
        return ""


@contextmanager
def qdrant_cluster(folder: Path, *, size: int = 3, version: str = VERSION) -> Iterator[QdrantCluster]:
    """A cluster that is ready, its data in `folder`, a folder each; it ends with the block.

    Enter it in a thread that lasts: the nodes end with the thread that started them. Raises ServerError.
    """
    with ExitStack() as stack:
        nodes: list[QdrantServer] = []
        bootstrap: tuple[str, ...] = ()
        for number in range(size):
            node, uri = _start(version, folder / f"node-{number}", bootstrap)
            nodes.append(stack.enter_context(_stopped_after(node)))
            if not bootstrap:
                _wait_for(uri)
                bootstrap = ("--bootstrap", uri)
        cluster = QdrantCluster(tuple(nodes))
        cluster.wait_until_joined()
        yield cluster


def _wait_for(uri: str, *, seconds: float = SETTLE_SECONDS) -> None:
    """Return when other nodes may join there: a node answers its clients before it listens to its peers, and one that
    finds nobody listening ends at once. Raises ServerError."""
    address = urlsplit(uri)
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((str(address.hostname), address.port or 0), timeout=seconds).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ServerError(f"nobody can join at {uri} within {seconds:.0f} s: {error}") from error
            time.sleep(_POLL_SECONDS)  # nothing tells when a port is opened: ask
        else:
            return


def _start(version: str, folder: Path, bootstrap: Sequence[str]) -> tuple[QdrantServer, str]:
    """A node, and the address under which the others find it."""
    for _ in range(5):
        port = free_port()
        uri = f"http://127.0.0.1:{port}"
        try:
            node = QdrantServer.start(
                version,
                folder,
                config={"cluster": {"enabled": True, "p2p": {"port": port}, "consensus": {"tick_period_ms": _TICK_MS}}},
                arguments=("--uri", uri, *bootstrap),
                http_port=free_port(),
                grpc_port=free_port(),
            )
        except PortTakenError:
            continue  # any of the three: all are chosen anew
        return node, uri
    raise ServerError("the ports of 5 tries were all taken")


@contextmanager
def _stopped_after(node: QdrantServer) -> Iterator[QdrantServer]:
    """The node, killed at the end: leaving in order takes each one seconds, and nobody needs its data."""
    try:
        yield node
    finally:
        if node.process is not None:
            node.kill()


def _get(node: QdrantServer, path: str) -> dict[str, Any]:
    """The result of the answer. Raises OSError or HTTPException when there is none."""
    connection = http.client.HTTPConnection(node.host, node.http_port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise ConnectionError(f"GET {path} answered {answer.status}")
    result: dict[str, Any] = json.loads(body)["result"]
    return result


def main() -> None:
    """Run a cluster until Ctrl-C."""
    with (
        tempfile.TemporaryDirectory(prefix="tasb-qdrant-") as folder,
        qdrant_cluster(Path(folder)) as cluster,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for node in cluster.nodes:
            print(f"{node.url}, gRPC on port {node.grpc_port}")
        threading.Event().wait()


if __name__ == "__main__":
    try:
        main()
    except ServerError as error:
        sys.exit(str(error))
