"""Real Qdrant servers on loopback for the tests, without a container engine.

python -m tests.qdrant_servers fetch              get both executables, print where they are
python -m tests.qdrant_servers run 1.17.0         run one in a temporary folder until Ctrl-C
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import click

from tests.needs import needs
from tests.qdrant_binaries import RELEASES, ServerError, executable

__all__ = ["PortTakenError", "QdrantServer", "ServerError", "free_port"]

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
_PORTS: Final = range(15_000, 30_000)
"""Below Linux's ephemeral range: no outgoing connection can take a port while its server restarts."""

_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, which outlives the exec below
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this server is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Run by a fresh interpreter and not as a preexec_fn, which can deadlock in a process with threads."""


class PortTakenError(ServerError):
    """Another process listens on a port that was chosen for this server."""


def free_port() -> int:
    """A loopback TCP port that nothing listens on now."""
    while _is_taken(port := random.SystemRandom().choice(_PORTS)):
        pass
    return port


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Qdrant does: old connections may linger
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class QdrantServer:
    """A Qdrant server: one of our own on loopback (`start`), or a person's (`external`).

    `url`, `http_port`, `grpc_port`, `api_key` (or None), `folder`, `log` (a file), `process`, and
    `version`, which is what the server itself says. An own server keeps its ports and data over
    `kill` and `restart`. The kernel kills it when the thread that started it ends, so that no test
    run leaves one behind, however it ends; start it from a thread that lasts.
    """

    def __init__(
        self, *, url: str, grpc_port: int, api_key: str | None, folder: Path, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != ("http" if tls is None else "https") or not parts.hostname:
            raise ServerError(f"a server for the tests must be at http://HOST:PORT, got {url}")
        self.tls = tls
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.http_port = parts.port or 6333
        self.grpc_port = grpc_port
        self.api_key = api_key
        self.folder = folder
        self.log = folder / "qdrant.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.version = ""
        self._command: tuple[str, ...] = ()
        self._log_start = 0

    @classmethod
    @needs("server")
    def start(
        cls,
        version: str,
        folder: Path,
        *,
        api_key: str | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        arguments: Sequence[str] = (),
        http_port: int | None = None,
        grpc_port: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """A server that is ready, its data in `folder`. `config` is laid over ours, section by section; where that has
        it speak TLS, `tls` is how to look whether it is ready.

        Raises ServerError, with the end of the server's log, when it isn't ready within START_SECONDS.
        """
        binary = executable(version)
        for _ in range(5):
            http_chosen = http_port or free_port()
            grpc_chosen = grpc_port or free_port()
            url = f"{'http' if tls is None else 'https'}://127.0.0.1:{http_chosen}"
            server = cls(url=url, grpc_port=grpc_chosen, api_key=api_key, folder=folder, tls=tls)
            server._command = (str(binary), "--config-path", server._configure(config or {}), *arguments)
            try:
                server.restart()
            except PortTakenError:
                if http_port or grpc_port:
                    raise
                continue
            return server
        raise ServerError(f"the ports of 5 tries were all taken; the server's log ends:\n{server.log_tail()}")

    @classmethod
    @needs("server")
    def external(cls, url: str, *, grpc_port: int | None = None, api_key: str | None, folder: Path) -> Self:
        """The server at `url`, which must answer; gRPC's port is by default the one after the HTTP port.

        It can't be killed, paused or restarted from here.
        """
        grpc_chosen = grpc_port or (urlsplit(url).port or 6333) + 1
        server = cls(url=url, grpc_port=grpc_chosen, api_key=api_key, folder=folder)
        server._wait_until_ready()
        return server

    def restart(self) -> None:
        """Stop it if it runs, start it again on the same ports and data, and wait until it is ready."""
        if not self._command:
            raise ServerError(f"{self.url} was not started by the tests, so they can't restart it")
        self.stop()
        for port in (self.http_port, self.grpc_port):
            if _is_taken(port):
                raise PortTakenError(f"another process listens on port {port} of {self.host}; choose another")
        command = (sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *self._command)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QDRANT_")}
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,  # Qdrant reads ./config and writes a marker into its working directory
                env=inherited,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is pytest's to handle
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as a service manager would: SIGTERM, and SIGKILL after STOP_SECONDS. Twice is fine."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)  # a paused process takes no SIGTERM
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would. The data stays; `restart` opens it again."""
        process = self._own_process()
        process.kill()
        process.wait()
        self.process = None

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and nothing is answered."""
        self._own_process().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after `pause`."""
        self._own_process().send_signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last 40 lines that the server wrote since its latest start."""
        if not self.log.exists():
            return "(no log)"
        written = self.log.read_bytes()[self._log_start :]
        return "\n".join(written.decode(errors="replace").splitlines()[-40:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _own_process(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise ServerError(f"{self.url} is not running, or was not started by the tests")
        return self.process

    def _configure(self, extra: Mapping[str, Mapping[str, Any]]) -> str:
        """The path of the configuration file, written anew. JSON, since every JSON file is YAML."""
        sections: dict[str, Any] = {
            "service": {
                "host": self.host,
                "http_port": self.http_port,
                "grpc_port": self.grpc_port,
                "enable_static_content": False,
            },
            "storage": {
                "storage_path": str(self.folder / "storage"),
                "snapshots_path": str(self.folder / "snapshots"),
                "temp_path": str(self.folder / "temp"),
            },
        }
        if self.api_key is not None:
            sections["service"]["api_key"] = self.api_key
        for name, section in extra.items():
            sections[name] = {**sections.get(name, {}), **section}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.yaml"
        path.write_text(json.dumps({"telemetry_disabled": True, "log_level": "WARN", **sections}, indent=2))
        return str(path)

    def _wait_until_ready(self) -> None:
        seconds = START_SECONDS if self._command else 5.0
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            self._check_ports()
            if self.process is not None and (code := self.process.poll()) is not None:
                raise ServerError(f"the Qdrant server ended with code {code} at its start: {self._why()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.url} was not ready within {seconds:.0f} s: {self._why()}")
            time.sleep(0.02)  # nothing tells when a server of another program is ready: ask it
        self._check_ports()  # what answered may be the other program on the port
        self.version = str(json.loads(self._get("/"))["version"])

    def _check_ports(self) -> None:
        """Raises PortTakenError where a port was lost since `restart` looked.

        With the HTTP port taken Qdrant tries for 5 s and ends; with gRPC's it says so and runs on without.
        """
        if re.search("Address (already )?in use", self.log_tail()):
            raise PortTakenError(f"port {self.http_port} or {self.grpc_port} is taken: {self._why()}")

    def _why(self) -> str:
        return f"{' '.join(self._command) or 'not our process'}; its log ends:\n{self.log_tail()}"

    def _is_ready(self) -> bool:
        try:
            self._get("/readyz")
            socket.create_connection((self.host, self.grpc_port), timeout=1).close()
        except (OSError, http.client.HTTPException):
            return False
        return self.process is None or self.process.poll() is None

    def _get(self, path: str) -> bytes:
        connection = (
            http.client.HTTPConnection(self.host, self.http_port, timeout=5)
            if self.tls is None
            else http.client.HTTPSConnection(self.host, self.http_port, timeout=5, context=self.tls)
        )
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise ConnectionError(f"GET {path} answered {answer.status}")
        return body


@click.group()
def main() -> None:
    """The Qdrant servers that the tests use."""


@main.command()
def fetch() -> None:
    """Get every executable, and print where it is."""
    for version in RELEASES:
        click.echo(f"{version}\t{executable(version)}")


@main.command()
@click.argument("version", type=click.Choice(list(RELEASES)))
@click.option("--port", default=6333, show_default=True, help="HTTP port; gRPC gets the next one.")
def run(version: str, port: int) -> None:
    """Run one server in a temporary folder until Ctrl-C."""
    with (
        tempfile.TemporaryDirectory(prefix="tasb-qdrant-") as folder,
        QdrantServer.start(version, Path(folder), http_port=port, grpc_port=port + 1) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        click.echo(f"Qdrant {server.version} at {server.url}, gRPC on port {server.grpc_port}")
        server._own_process().wait()


if __name__ == "__main__":
    try:
        main()
    except ServerError as error:
        sys.exit(str(error))
