"""Ids that a tool has made floats of: whole ones that a float holds exactly are the integers that they were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.errors import RejectedError, SourceError
from tests.ingest.fakes import StubEncoder
from tests.sources.corpus import read, read_with_rejects


def parquet(folder: Path, ids: list[Any], kind: Any = None) -> Path:
    """As DuckDB writes HUGEINT: a column of doubles."""
    file = folder / "huge.parquet"
    pq.write_table(pa.table({"id": pa.array(ids, kind or pa.float64()), "text": ["a text"] * len(ids)}), file)
    return file


def jsonl(folder: Path, ids: list[Any]) -> Path:
    file = folder / "c.jsonl"
    file.write_text("".join(f'{{"id": {one}, "text": "a text"}}\n' for one in ids))
    return file


@pytest.mark.parametrize("write", [parquet, jsonl])
def test_whole_floats_are_integers(tmp_path: Path, write: Any) -> None:
    file = write(tmp_path, [0.0, 7.0, -3.0, 2.0**53 - 1])
    assert [one.id for one in read(file)] == ["0", "7", "-3", "9007199254740991"]


@pytest.mark.parametrize("write", [parquet, jsonl])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (1.5, "got a float$"),
        (2.0**53, r"got a float, 9.0072e\+15, which several integers become; store the ids as integers or strings"),
        (1e30, r"got a float, 1e\+30, which several integers become"),
    ],
)
def test_others_are_refused(tmp_path: Path, write: Any, bad: float, reason: str) -> None:
    passages, (reject,) = read_with_rejects(write(tmp_path, [bad, 2.0]))
    assert [one.id for one in passages] == ["2"]
    assert re.search(f"must be a string or an integer, {reason}", reject.reason)


def test_null_among_them_is_an_absent_id(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="is null"):
        read(parquet(tmp_path, [None]))


def test_a_column_of_smaller_floats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="the column 'id' has the type float, expected strings, whole numbers or UUIDs"
    ):
        read(parquet(tmp_path, [1.0], pa.float32()))


def test_it_is_said(tmp_path: Path) -> None:
    options: dict[str, Any] = {"collection": "c", "path": tmp_path / "s", "encoder": StubEncoder()}
    report = ingest(parquet(tmp_path, [1.0, 2.0]), **options)
    assert "2 ids that were floats were read as whole numbers, such as 7.0 as 7" in report.warnings
    again = ingest([Passage("1", "a text"), Passage("2", "a text")], **options)
    assert (again.skipped, again.warnings) == (2, ())
