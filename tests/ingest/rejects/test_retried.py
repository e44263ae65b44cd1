"""Rejects are tried again from their own lines, and stay in their file until they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.errors import SettingsError, TooManyRejectsError
from tasb_qdrant.ingest import RejectedLines
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at

LINES = [
    '{"id": "1", "text": "one"}',
    '{"id": "2"}',
    "no json",
    '{"id": "4", "text": "four"}',
    '{"id": "1", "text": "another one"}',
    '{"id": "6", "text": "six"}',
]


class Case:
    """A source with three bad lines of six, ingested once."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "p.jsonl"
        self.rejects = folder / "rejects.jsonl"
        self.where: dict[str, Any] = {"collection": "c", "path": folder / "s", "optimize": False}
        self.write(LINES)
        report = ingest(self.source, encoder=StubEncoder(), rejects=self.rejects, **self.where)
        assert (report.stored, report.rejected) == (3, 3)

    def write(self, lines: list[str]) -> None:
        self.source.write_text("".join(f"{line}\n" for line in lines))

    def correct(self, **lines: str) -> None:
        now = self.source.read_text().splitlines()
        for number, line in lines.items():
            now[int(number[1:]) - 1] = line
        self.write(now)

    def retry(self, encoder: StubEncoder | None = None, **options: Any) -> Any:
        return ingest(RejectedLines(self.rejects), encoder=encoder or StubEncoder(), **options, **self.where)

    @property
    def rejected_lines(self) -> list[int]:
        return [orjson.loads(line)["line"] for line in self.rejects.read_bytes().splitlines()]

    @property
    def texts(self) -> dict[str, str]:
        return {point: payload["text"] for point, (payload, _) in stored.embedded(self.where["path"]).items()}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_what_was_corrected_is_stored_and_the_rest_stays_rejected(case: Case) -> None:
    case.correct(l2='{"id": "2", "text": "two"}', l4='{"id": "4", "text": "changed, but no reject"}')
    report = case.retry()
    assert (report.read, report.stored, report.rejected, report.rejects_file) == (3, 1, 2, str(case.rejects))
    assert sorted(case.rejected_lines) == [3, 5]
    assert case.texts == {"1": "one", "2": "two", "4": "four", "6": "six"}
    case.correct(l3='{"id": "3", "text": "three"}', l5='{"id": "5", "text": "another one"}')
    report = case.retry()
    assert (report.read, report.stored, report.rejected) == (2, 2, 0)
    assert case.rejects.read_bytes() == b""
    assert sorted(case.texts) == ["1", "2", "3", "4", "5", "6"]
    report = case.retry(workers=2)
    assert (report.read, report.stored) == (0, 0)
    assert "What was rejected is read again by one process." in report.notes


def test_an_id_that_another_line_has_is_still_rejected(case: Case) -> None:
    case.correct(l2='{"id": "6", "text": "not six"}')
    report = case.retry()
    assert (report.read, report.stored, report.updated, report.rejected) == (4, 1, 0, 3)
    assert sorted(case.rejected_lines) == [3, 5, 6]  # the second of the two, as in a whole run
    assert case.texts["6"] == "not six"


def test_other_options_may_be_what_was_wrong(tmp_path: Path) -> None:
    source = tmp_path / "p.csv"
    source.write_text("id,text,year\n1,one,1990\n2,two,soon\n")
    where: dict[str, Any] = {"collection": "c", "path": tmp_path / "s", "optimize": False}
    from tasb_qdrant import CollectionSettings

    settings = CollectionSettings(indexes={"year": "integer"})
    report = ingest(source, encoder=StubEncoder(), settings=settings, rejects=tmp_path / "r", **where)
    assert (report.stored, report.rejected) == (1, 1)
    source.write_text("id,text,year\n1,one,1990\n2,two,1991\n")
    report = ingest(RejectedLines(tmp_path / "r"), encoder=StubEncoder(), settings=settings, **where)
    assert (report.read, report.stored, report.rejected) == (1, 1, 0)


def test_a_line_that_is_gone_stays_rejected_and_says_so(case: Case) -> None:
    case.write(LINES[:2])
    report = case.retry()
    assert (report.read, report.rejected) == (3, 3)
    assert sorted(case.rejected_lines) == [2, 3, 5]
    reasons = {one["line"]: one["reason"] for one in map(orjson.loads, case.rejects.read_bytes().splitlines())}
    assert reasons[3] == reasons[5] == "there is nothing in this line any more; drop the reject"


def test_a_run_that_fails_leaves_the_file_as_it_was(case: Case, tmp_path: Path) -> None:
    before = case.rejects.read_bytes()
    case.correct(l2='{"id": "2", "text": "two"}')
    with pytest.raises(RuntimeError, match="broken"):
        case.retry(StubEncoder(before_encode=fail_at(0, RuntimeError("broken"))))
    assert case.rejects.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    assert case.retry().stored == 1


def test_a_line_that_was_stored_already_is_skipped(case: Case) -> None:
    case.correct(l2='{"id": "2", "text": "two"}')
    ingest([Passage("2", "two")], encoder=StubEncoder(), **case.where)
    report = case.retry()
    assert (report.stored, report.skipped, report.rejected) == (0, 1, 2)


@pytest.mark.parametrize("content", ["mine\n", '{"source": "a"}\n', "[1]\n", '{"source": "a", "line": "7"}\n'])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "r").write_text(content)
    with pytest.raises(SettingsError, match=r"r:1: expected a reject"):
        RejectedLines(tmp_path / "r")
    with pytest.raises(SettingsError, match=r"nowhere: can't be read"):
        RejectedLines(tmp_path / "nowhere")


def test_rejects_of_a_stream_can_not_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"source":"<stdin>","line":1,"reason":"r"}\n')
    with pytest.raises(SettingsError, match="some rejects came from <stdin>, which can't be read again"):
        RejectedLines(tmp_path / "r")


def test_another_rejects_file_beside_them_makes_no_sense(case: Case, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave --rejects out"):
        case.retry(rejects=tmp_path / "other")


def test_more_rejects_than_allowed_stop_the_run_and_what_was_stored_stays(tmp_path: Path) -> None:
    good = [f'{{"id": "{n}", "text": "t"}}' for n in range(2_000)]
    source = tmp_path / "p.jsonl"
    source.write_text("\n".join([*good, "bad", "bad", "bad", *good[:5]]) + "\n")
    where: dict[str, Any] = {"collection": "c", "path": tmp_path / "s", "rejects": tmp_path / "r"}
    assert ingest(source, encoder=StubEncoder(), max_rejects=3, **where).rejected == 3
    with pytest.raises(TooManyRejectsError, match=r"more than 2 inputs were rejected.* see .*r, and correct") as caught:
        ingest(source, encoder=StubEncoder(), max_rejects=2, **where)
    assert (caught.value.limit, caught.value.rejects_file) == (2, str(tmp_path / "r"))
    assert len((tmp_path / "r").read_bytes().splitlines()) == 3
    assert len(stored.embedded(tmp_path / "s")) == 2_000


@pytest.mark.parametrize(("limit", "rejects"), [(-1, "r"), (True, "r"), (1, None)])
def test_limits_that_make_no_sense_are_refused(tmp_path: Path, limit: Any, rejects: str | None) -> None:
    with pytest.raises(SettingsError, match="rejects"):
        ingest(
            [Passage("1", "t")],
            collection="c",
            path=tmp_path / "s",
            encoder=StubEncoder(),
            max_rejects=limit,
            rejects=None if rejects is None else tmp_path / rejects,
        )


def test_all_are_tried_again_or_none(tmp_path: Path) -> None:
    case = Case(tmp_path)
    before = case.rejects.read_bytes()
    with pytest.raises(SettingsError, match="limit would drop the rejects"):
        case.retry(limit=1)
    assert case.rejects.read_bytes() == before
