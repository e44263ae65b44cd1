"""A file that is changed while it is read is told, and a load of it is not called whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.source.changes import SourceFiles
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder

COUNT = 20_000


def cut(path: Path) -> None:
    os.truncate(path, path.read_bytes().rindex(b"\n") + 1 - 200)


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"id": "new", "text": "new"}\n')


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"number 199", b"NUMBER 199"))


def rewrite_unseen(path: Path) -> None:
    """The size and the times stay."""
    status = path.stat()
    rewrite(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


def touch_alone(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (append, "size"),
        (rewrite, "time"),
        (rewrite_unseen, "start"),
        (replace, "inode"),
        (Path.unlink, "existence"),
        (touch_alone, "time"),
    ],
)
def test_a_changed_file_is_told(tmp_path: Path, change: Callable[[Path], None], what: str) -> None:
    path = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(2_000))
    kept = stored.write_jsonl(tmp_path / "q.jsonl", stored.numbered(10))
    before = SourceFiles.now((path, kept, "-"))
    assert before.changes() == []
    change(path)
    assert before.changes() == [(path, what)]


def test_a_load_of_a_file_that_changes_is_not_whole(tmp_path: Path) -> None:
    path = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(2_000))
    encoder = StubEncoder(before_encode=lambda number: append(path) if number == 1 else None)
    report = ingest(path, collection="c", path=tmp_path / "s", encoder=encoder, optimize=False)
    assert not report.verified
    assert report.changed_sources == (f"{path} (its size)",)
    assert f"{path} (its size): changed while it was read" in " ".join(report.warnings)
    assert ingest(path, collection="c", path=tmp_path / "s", encoder=StubEncoder(), optimize=False).verified


def test_a_line_that_a_change_has_cut_is_not_blamed_on_the_line(tmp_path: Path) -> None:
    path = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    encoder = StubEncoder(before_encode=lambda number: cut(path) if number == 1 else None)
    with pytest.raises(
        SourceError, match=r"its size changed while it was read, and then: malformed JSON.*same command"
    ):
        ingest(path, collection="c", path=tmp_path / "s", encoder=encoder, optimize=False)
