"""Fixtures that several test folders share."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tasb_qdrant.ingest.read import processes
from tests.needs import needed_by, running
from tests.qdrant_cluster import QdrantCluster, qdrant_cluster
from tests.qdrant_servers import QdrantServer

# Of several processes of one run, each has its share of the cores. Before torch and NumPy are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Stores sync each write to disk: in memory the tests of the embedded one take half the time. Containers may give
# little of it, and who sets TMPDIR has chosen.
_MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 8 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# The same examples in every run of CI; `make fuzz` draws others. A deadline would test how busy the machine is.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("ci")

# Read before `_no_servers_in_the_environment` hides them from the code under test.
_OWN_URL = os.environ.get("QDRANT_URL")
_OWN_KEY = os.environ.get("QDRANT_API_KEY")


def pytest_configure() -> None:
    """Started in the background by a script, this process ignores SIGINT, and so would those it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nobody keeps lists: a test is marked by what it uses. What Hypothesis draws examples for is a property."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.property)
        fixtures = [each.func for defined in item._fixtureinfo.name2fixturedefs.values() for each in defined]
        for kind in needed_by([item.function, *fixtures]):
            item.add_marker(kind)
    # First what takes long, so that no process is left with it at the end while the others have nothing to do.
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    """About how long a test takes that is marked as slow; 0 for others."""
    marker = item.get_closest_marker("slow")
    return 0.0 if marker is None else marker.kwargs.get("seconds", 10.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that needs what it isn't marked with fails."""
    with running(item):
        return (yield)


@pytest.fixture(autouse=True)
def _workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TASB_QDRANT_TEST_WORKERS=2, say, so many processes read wherever a test doesn't say how many should."""
    if (wanted := os.environ.get("TASB_QDRANT_TEST_WORKERS")) is None:
        return

    def wanted_for_auto(given: processes.Workers) -> processes.Workers:
        return check(int(wanted) if given == "auto" else given)

    check = processes.check_workers
    for caller in ("tasb_qdrant.ingest.run", "tasb_qdrant.ingest.verify.run", "tasb_qdrant.ingest.verify.plan"):
        monkeypatch.setattr(importlib.import_module(caller), "check_workers", wanted_for_auto)


@pytest.fixture(scope="session")
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def _no_servers_in_the_environment(monkeypatch: pytest.MonkeyPatch, _state_home: Path) -> None:
    """No test reaches a server that its author didn't name, nor what this user's own runs have left."""
    monkeypatch.setenv("XDG_STATE_HOME", str(_state_home))
    monkeypatch.delenv("QDRANT_URL", raising=False)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)


def _serve(version: str, folders: pytest.TempPathFactory, *, api_key: str | None = None) -> Iterator[QdrantServer]:
    folder = folders.mktemp(f"qdrant-{version}")
    if _OWN_URL and api_key is None:
        yield QdrantServer.external(_OWN_URL, api_key=_OWN_KEY, folder=folder)
        return
    with QdrantServer.start(version, folder, api_key=api_key) as server:
        yield server
    shutil.rmtree(folder / "storage")  # pytest keeps the folders of three runs; the log is enough


@pytest.fixture(scope="session")
def qdrant_1_16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """Qdrant 1.16.3, or the person's own with QDRANT_BINARY or QDRANT_URL. Don't stop it: others use it."""
    yield from _serve("1.16.3", tmp_path_factory)


@pytest.fixture(scope="session")
def qdrant_1_17(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """Qdrant 1.17.0, or the person's own with QDRANT_BINARY or QDRANT_URL. Don't stop it: others use it."""
    yield from _serve("1.17.0", tmp_path_factory)


@pytest.fixture(scope="session")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """Qdrant 1.17.0 that answers only to its `api_key`. Always our own process."""
    yield from _serve("1.17.0", tmp_path_factory, api_key=f"key-{uuid.uuid4().hex}")


@pytest.fixture(scope="session", params=["1.16.3", "1.17.0"])
def qdrant_server(request: pytest.FixtureRequest) -> QdrantServer:
    """Each server in turn."""
    names = {"1.16.3": "qdrant_1_16", "1.17.0": "qdrant_1_17"}
    server = request.getfixturevalue(names[request.param])
    assert isinstance(server, QdrantServer)
    return server


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantCluster]:
    """Three nodes of 1.17.0, always our own. Others use it: whoever kills or pauses nodes starts their own."""
    folder = tmp_path_factory.mktemp("cluster")
    with qdrant_cluster(folder) as cluster:
        yield cluster
    for node in cluster.nodes:
        shutil.rmtree(node.folder / "storage")


@pytest.fixture
def collection_name() -> str:
    """A name that no other test uses."""
    return f"tasb-test-{uuid.uuid4().hex}"
