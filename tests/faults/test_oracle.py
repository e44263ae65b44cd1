"""What the oracle calls lost, doubled and wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.case import Case, Verdict, from_dict
from tests.faults.journal import Journal
from tests.faults.kinds import KINDS, of_seed
from tests.faults.oracle import Expected, Held, compare, described
from tests.faults.report import render
from tests.faults.trial import search


def points(*passages: str, first: float = 1.0) -> Expected:
    return {f"p-{one}": described({"passage_id": one, "text": one}, [first, 2.0]) for one in passages}


WHOLE = points("a", "b", "c")


def held(points: Expected, count: int | None = None) -> Held:
    return Held("here", points, len(points) if count is None else count)


def test_the_same_points_are_no_difference() -> None:
    assert not compare(held(points("c", "a", "b")), WHOLE)
    assert not compare(held(points("a", "b", "c", first=1.000001)), WHOLE)


def test_a_missing_point_is_lost_and_so_is_one_that_is_not_counted() -> None:
    assert compare(held(points("a", "c")), WHOLE).lost == 1
    assert compare(held(WHOLE, count=2), WHOLE).lost == 1


def test_other_content_and_points_of_nobody_are_wrong() -> None:
    assert compare(held(points("a", "b", "c", first=1.1)), WHOLE).wrong == 3
    assert compare(held(points("a", "b", "c", "d")), WHOLE).wrong == 1
    changed = dict(WHOLE) | {"p-a": described({"passage_id": "a", "text": "b"}, [1.0, 2.0])}
    assert compare(held(changed), WHOLE).wrong == 1
    shorter = dict(WHOLE) | {"p-a": described({"passage_id": "a", "text": "a"}, [1.0])}
    assert compare(held(shorter), WHOLE).wrong == 1


def test_a_passage_under_two_ids_or_a_count_too_high_is_doubled() -> None:
    twice = dict(WHOLE) | {"q-a": WHOLE["p-a"]}
    assert compare(held(twice), WHOLE).doubled == 1
    assert compare(held(WHOLE, count=5), WHOLE).doubled == 2
    assert compare(replace(held(WHOLE), seen_twice=1), WHOLE).doubled == 1


def test_a_secret_is_found_in_files_and_in_their_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log").write_bytes(b"\x00key-123\xff")
    (tmp_path / "key-123.txt").write_text("nothing")
    (tmp_path / "c").write_text("key-12")
    assert search(tmp_path, b"key-123") == 2


def test_a_seed_tells_its_kind_and_its_case() -> None:
    for kind in KINDS:
        case = kind.case(17)
        assert of_seed(case.seed) == (kind, case)
    with pytest.raises(KeyError):
        of_seed(999_000_000)
    assert len({kind.number for kind in KINDS}) == len({kind.name for kind in KINDS}) == len(KINDS)
    assert sum(kind.cases for kind in KINDS) >= 4_000


def test_the_journal_keeps_the_latest_verdict_of_a_seed_and_survives_a_cut(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "abc")
    verdict = Verdict(Case("wire", 3, 9_000_003), fault="drop", lost=1, runs=[(-9, 0.1), (None, 60.0)])
    journal.add(verdict)
    journal.add(replace(verdict, lost=0))
    journal.add(Verdict(Case("wire", 4, 9_000_004)))
    journal.path.write_text(journal.path.read_text()[:-9])
    assert Journal(tmp_path, "abc").verdicts() == [replace(verdict, lost=0)]
    assert from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def test_the_page_counts_by_kind_and_names_what_failed() -> None:
    verdicts = [
        Verdict(Case("wire", 0, 9_000_000), fault="drop", seconds=1.0),
        Verdict(Case("wire", 1, 9_000_001), fault="reset", lost=3, silent=1, problems=["3 lost"], seconds=2.0),
        Verdict(Case("signal", 0, 4_000_000), fault="SIGINT", problems=["exit code 7"], seconds=3.0),
        Verdict(Case("disk-full", 0, 12_000_000), skipped="no tmpfs"),
    ]
    page = render(verdicts, commit="abc")
    assert "3 faults in runs of the program at the commits that the table names." in page
    assert "| 9000000 to 9000001 | 2 | 3 | 0 | 0 | 1 | 0 | 0 | 0 | 1.5 | `abc` |" in page
    assert "| 4000000 to 4000000 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 3.0 | `abc` |" in page
    assert "`9000001` reset: 3 lost; 1 silent; 3 lost" in page
    assert "disk-full: no tmpfs" in page


def test_the_page_keeps_what_it_says_of_kinds_that_were_not_run_again() -> None:
    failed = Verdict(Case("wire", 1, 9_000_001), fault="reset", lost=3, problems=["3 lost"], seconds=2.0, resent=4)
    before = render([failed, Verdict(Case("signal", 0, 4_000_000), problems=["code 7"], seconds=3.0)], commit="abc")
    inside = Verdict(Case("hostile-source", 0, 36_000_000), faults=10_000, seconds=1.0)
    page = render([Verdict(Case("signal", 0, 4_000_000), seconds=3.0), inside], commit="def", earlier=before)
    assert "2 faults in runs of the program, and 10,000 hostile or damaged inputs in process, at the commits" in page
    assert "| 9000001 to 9000001 | 1 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 2.0 | `abc` |" in page
    assert "| 4000000 to 4000000 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 3.0 | `def` |" in page
    assert "| **all** |  | 10,002 | 3 | 0 | 0 | 0 | 0 | 0 | 0 |  |  |" in page
    assert "`9000001` reset" in page
    assert "code 7" not in page
    assert "at most 4 points" in page
    assert render([], commit="ghi", earlier=page) == page


def test_words_are_compared_as_well() -> None:
    words = {"indices": [7, 4_000_000_001], "values": [1.5, 0.5]}
    turned = {"indices": [4_000_000_001, 7], "values": [0.5, 1.5]}
    whole = {"p": described({"passage_id": "a"}, {"": [1.0, 2.0], "bm25": words})}
    assert not compare(held({"p": described({"passage_id": "a"}, {"": [1.0, 2.0], "bm25": turned})}), whole)
    for wrong in (words | {"indices": [8, 4_000_000_001]}, words | {"values": [1.5, 0.6]}):
        assert compare(held({"p": described({"passage_id": "a"}, {"": [1.0, 2.0], "bm25": wrong})}), whole).wrong == 1
    assert compare(held({"p": described({"passage_id": "a"}, [1.0, 2.0])}), whole).wrong == 1
