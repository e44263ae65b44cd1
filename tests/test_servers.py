"""The servers that the tests rest on: they start, say which they are, and outlive a crash."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.qdrant_binaries import RELEASES
from tests.qdrant_servers import PortTakenError, QdrantServer, ServerError, free_port
from tests.waiting import PATIENCE

versions = pytest.mark.parametrize("version", RELEASES)
own_servers = pytest.mark.skipif(
    bool(os.environ.get("QDRANT_URL") or os.environ.get("QDRANT_BINARY")),
    reason="a server of the person's own may be of any version",
)


def _ask(server: QdrantServer, method: str, path: str, body: object = None) -> httpx.Response:
    key = {} if server.api_key is None else {"api-key": server.api_key}
    return httpx.request(method, server.url + path, json=body, headers=key, trust_env=False, timeout=10)


def _result(server: QdrantServer, method: str, path: str, body: object = None) -> object:
    return _ask(server, method, path, body).raise_for_status().json()["result"]


@contextlib.contextmanager
def _listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@own_servers
def test_each_fixture_is_the_version_that_its_name_says(qdrant_1_16: QdrantServer, qdrant_1_17: QdrantServer) -> None:
    for server, version in ((qdrant_1_16, "1.16.3"), (qdrant_1_17, "1.17.0")):
        assert _ask(server, "GET", "/").json()["version"] == server.version == version


def test_the_parametrised_fixture_answers_on_both_of_its_ports(qdrant_server: QdrantServer) -> None:
    assert _ask(qdrant_server, "GET", "/collections").status_code == 200
    socket.create_connection((qdrant_server.host, qdrant_server.grpc_port), timeout=5).close()


def test_the_keyed_server_refuses_requests_without_its_key(keyed_server: QdrantServer) -> None:
    assert _ask(keyed_server, "GET", "/collections").status_code == 200
    bare = httpx.get(keyed_server.url + "/collections", trust_env=False)
    assert bare.status_code == 401


def test_no_test_inherits_a_server_from_the_environment() -> None:
    assert not {"QDRANT_URL", "QDRANT_API_KEY"} & set(os.environ)


@versions
def test_ports_and_acknowledged_points_outlive_kill_and_restart(version: str, tmp_path: Path) -> None:
    with QdrantServer.start(version, tmp_path) as server:
        _result(server, "PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        points = [{"id": number, "vector": [number, 1.0]} for number in range(10)]
        _result(server, "PUT", "/collections/c/points?wait=true", {"points": points})
        url = server.url
        server.kill()
        with pytest.raises(httpx.ConnectError):
            _ask(server, "GET", "/collections")
        server.restart()
        assert server.url == url
        assert _result(server, "POST", "/collections/c/points/count", {"exact": True}) == {"count": 10}


def test_a_paused_server_answers_nothing_until_it_is_resumed_and_can_be_stopped(tmp_path: Path) -> None:
    with QdrantServer.start("1.17.0", tmp_path) as server:
        server.pause()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.url, trust_env=False, timeout=0.2)
        server.resume()
        assert _ask(server, "GET", "/").status_code == 200
        server.pause()
    assert server.process is None


def test_extra_configuration_is_laid_over_ours(tmp_path: Path) -> None:
    strict = {"storage": {"collection": {"strict_mode": {"enabled": True, "max_query_limit": 7}}}}
    with QdrantServer.start("1.17.0", tmp_path, config=strict) as server:
        _result(server, "PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        refused = _ask(server, "POST", "/collections/c/points/query", {"query": [0, 1], "limit": 8})
    assert refused.status_code == 400
    assert (tmp_path / "storage").is_dir()


def test_a_start_that_fails_shows_what_the_server_wrote(tmp_path: Path) -> None:
    broken = {"storage": {"wal": {"wal_capacity_mb": "plenty"}}}
    with pytest.raises(ServerError, match="wal_capacity_mb"):
        QdrantServer.start("1.17.0", tmp_path, config=broken)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_taken_port_that_was_asked_for_is_named(kind: str, tmp_path: Path) -> None:
    with _listener() as taken, pytest.raises(PortTakenError, match=str(taken)):
        QdrantServer.start(
            "1.17.0",
            tmp_path,
            http_port=taken if kind == "http" else free_port(),
            grpc_port=taken if kind == "grpc" else free_port(),
        )


def test_a_port_lost_between_choice_and_start_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _listener() as taken:
        choices = itertools.chain([taken, free_port()], (free_port() for _ in itertools.count()))
        monkeypatch.setattr("tests.qdrant_servers.free_port", lambda: next(choices))
        with QdrantServer.start("1.17.0", tmp_path) as server:
            assert server.http_port != taken
            assert _ask(server, "GET", "/").status_code == 200


def test_an_outside_server_is_used_but_never_controlled(qdrant_1_17: QdrantServer, tmp_path: Path) -> None:
    outside = QdrantServer.external(qdrant_1_17.url, grpc_port=qdrant_1_17.grpc_port, api_key=None, folder=tmp_path)
    assert outside.version == qdrant_1_17.version
    outside.stop()
    for control in (outside.kill, outside.pause, outside.restart):
        with pytest.raises(ServerError, match="not started by the tests"):
            control()
    assert _ask(qdrant_1_17, "GET", "/").status_code == 200


def test_a_server_does_not_outlive_a_killed_test_run(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, signal\n"
        "from tests.qdrant_servers import QdrantServer\n"
        "server = QdrantServer.start('1.17.0', pathlib.Path(sys.argv[1]))\n"
        "print(server.process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        watch = os.pidfd_open(int(run.stdout.readline()))
        run.kill()
    ended, _, _ = select.select([watch], [], [], 10)
    os.close(watch)
    assert ended == [watch]


def test_the_script_runs_a_server_until_interrupted(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.qdrant_servers", "run", "1.17.0", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        try:
            assert run.stdout is not None
            said = run.stdout.readline()
            answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            run.send_signal(signal.SIGINT)
            assert run.wait(PATIENCE) == 0
        finally:
            run.kill()  # leaving the block would wait for it for ever
    assert re.search(rf"Qdrant {answer.json()['version']} at http://127\.0\.0\.1:{port}\b", said)
    assert list(tmp_path.iterdir()) == []
