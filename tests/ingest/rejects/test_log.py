"""Inputs that can't be stored: a file of them, or the end of the run."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from tasb_qdrant.errors import RejectedError, SettingsError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.records import Passage, Reject
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder


def mixed(path: Path) -> Path:
    path.write_text('{"id": "1", "text": "one"}\n{"id": "2"}\nno json\n{"id": "4", "text": "four"}\n')
    return path


def test_rejects_are_kept_with_source_line_and_reason(tmp_path: Path) -> None:
    source, kept = mixed(tmp_path / "p.jsonl"), tmp_path / "rejects.jsonl"
    kept.write_text('{"source":"p.jsonl","line":7,"reason":"of an earlier run"}\n')
    report = ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=kept)
    found = [orjson.loads(line) for line in kept.read_bytes().splitlines()]
    assert [(one["source"], one["line"]) for one in found] == [(str(source), 2), (str(source), 3)]
    assert [sorted(one) for one in found] == [["line", "reason", "source"]] * 2
    assert "no field 'text'" in found[0]["reason"]
    assert "malformed JSON" in found[1]["reason"]
    assert (report.read, report.stored, report.rejected) == (4, 2, 2)
    assert report.rejects_file == str(kept)


def test_the_file_is_made_anew_also_when_nothing_is_rejected(tmp_path: Path) -> None:
    kept = tmp_path / "rejects.jsonl"
    kept.write_text('{"source":"p.jsonl","line":7,"reason":"of an earlier run"}\n')
    ingest(stored.numbered(2), collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=kept)
    assert kept.read_bytes() == b""


@pytest.mark.parametrize("link", ["the file itself", "symlink", "hard link", "another spelling"])
def test_a_source_is_never_overwritten(tmp_path: Path, link: str) -> None:
    source = mixed(tmp_path / "p.jsonl")
    before = source.read_bytes()
    kept = source
    if link == "symlink":
        kept = tmp_path / "link"
        kept.symlink_to(source)
    elif link == "hard link":
        kept = tmp_path / "link"
        os.link(source, kept)
    elif link == "another spelling":
        kept = tmp_path / "s" / ".." / "p.jsonl"
        (tmp_path / "s").mkdir()
    with pytest.raises(SettingsError, match="is a source, and would be overwritten; name another file"):
        ingest(tmp_path, collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=kept)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["nowhere/rejects.jsonl", "folder", "/dev/full"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    source = mixed(tmp_path / "p.jsonl")
    with pytest.raises(SettingsError, match=r"--rejects .*can't be written \(.*\); name another file"):
        ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=tmp_path / name)


def test_without_a_file_the_first_reject_stops_the_run_and_names_its_line(tmp_path: Path) -> None:
    source = mixed(tmp_path / "p.jsonl")
    with pytest.raises(RejectedError) as caught:
        ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder())
    assert (caught.value.source, caught.value.line) == (str(source), 2)
    assert str(caught.value).startswith(f"{source}:2: no field 'text'")
    assert str(caught.value).endswith("correct the line, or keep such lines in a file with --rejects FILE")


def test_a_repeat_above_another_reject_is_the_first(tmp_path: Path) -> None:
    source = tmp_path / "p.jsonl"
    source.write_text('{"id": "1", "text": "one"}\n{"id": "1", "text": "two"}\nno json\n')
    with pytest.raises(RejectedError, match=r"p\.jsonl:2: id '1' has already occurred in line 1"):
        ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder())


def test_what_was_stored_before_the_reject_stays(tmp_path: Path) -> None:
    good = stored.numbered(2_000)
    source = stored.write_jsonl(tmp_path / "p.jsonl", good)
    ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder())
    before = stored.embedded(tmp_path / "s")
    with source.open("a") as file:
        file.write("no json\n")
    with pytest.raises(RejectedError, match=r"p\.jsonl:2001: malformed JSON"):
        ingest(source, collection="c", path=tmp_path / "s", encoder=StubEncoder())
    assert stored.embedded(tmp_path / "s") == before


def test_a_reject_is_in_the_file_at_once(tmp_path: Path) -> None:
    counted: list[int] = []
    log = RejectLog(tmp_path / "r", on_reject=lambda: counted.append(1))
    with log:
        log.open()
        log.add(Reject(source="é.tsv", line=7, reason="because"))
        assert orjson.loads((tmp_path / "r").read_bytes()) == {"source": "é.tsv", "line": 7, "reason": "because"}
    assert counted == [1]


def test_the_rejects_of_an_earlier_run_in_the_folder_are_no_source(tmp_path: Path) -> None:
    mixed(tmp_path / "p.jsonl")
    for _ in range(2):
        report = ingest(
            tmp_path, collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=tmp_path / "bad.jsonl"
        )
        assert report.rejected > 0
    assert report.read == report.skipped + report.rejected


def test_a_file_that_holds_something_else_is_never_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("mine\n")
    with pytest.raises(SettingsError, match="holds something else than rejects"):
        ingest([Passage("1", "one")], collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=precious)
    assert precious.read_text() == "mine\n"
