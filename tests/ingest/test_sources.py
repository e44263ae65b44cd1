"""What a run takes from its source: the types of columns, exact names, tables in memory, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasb_qdrant.errors import ResumeRefusedError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.records import IngestReport
from tasb_qdrant.settings import CollectionSettings, IndexType
from tasb_qdrant.sources import SourceFields, TextOptions
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder


def load(path: Path, source: Any, indexes: Mapping[str, IndexType] | None = None, **options: Any) -> IngestReport:
    settings = CollectionSettings(indexes=dict(indexes or {}))
    return ingest(source, collection="c", path=path, encoder=StubEncoder(), settings=settings, **options)


def payloads(path: Path) -> dict[str, Mapping[str, Any]]:
    names = ("passage_id", "text", "title")
    return {
        one: {key: value for key, value in payload.items() if key not in names}
        for one, (payload, _) in stored.embedded(path).items()
    }


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_csv_read_into_a_collection_takes_the_types_of_its_indexes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "id,text,code,price,year\n1,t,x,1.5,2000\n")
    more = write(tmp_path / "b.csv", "id,text,code,price,year\n2,t,7,2,2011.0\n")
    load(tmp_path / "s", first, {"code": "keyword", "price": "float", "year": "integer"})
    load(tmp_path / "s", more)
    assert payloads(tmp_path / "s")["2"] == {"code": "7", "price": 2, "year": 2011}


def test_a_column_with_a_dot_is_indexed_by_its_own_name(tmp_path: Path) -> None:
    report = load(tmp_path / "s", write(tmp_path / "a.csv", "id,text,meta.year\n1,t,2001\n"), {"meta.year": "integer"})
    assert payloads(tmp_path / "s") == {"1": {"meta.year": 2001}}
    assert report.warnings == ()


def test_an_index_that_no_passage_has_a_value_for_is_warned_of(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '{"id": 1, "text": "t", "meta": {"year": 1}, "n": NaN}\n')
    report = load(
        tmp_path / "s", lines, {"meta.year": "integer", "yaer": "integer", "text": "text"},
        fields=SourceFields(fields=("meta.year", "n", "lang")),
    )  # fmt: skip
    assert [one.partition(";")[0] for one in report.warnings] == [
        "no passage has the field yaer that --index names",
        "1 value that JSON can't represent (NaN or Infinity) became null",
        "no record has the field 'lang' that --fields names",
    ]


def test_the_fields_that_were_taken_are_told_before_anything_is_stored(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", "pid,docid,passage,year\n1,d,t,2000\n")
    told: list[tuple[str, ...]] = []
    report = load(tmp_path / "s", source, on_progress=lambda now: told.append(now.notes) if not now.stored else None)
    note = f"{source}: id from pid, text from passage; read year as integer."
    assert report.notes.count(note) == 1
    assert any(note in notes for notes in told)


def test_tables_and_dicts_are_sources(tmp_path: Path) -> None:
    rows = [{"id": n, "text": f"text {n}", "year": 2000 + n} for n in range(3)]
    for number, source in enumerate((rows, iter(rows), (row for row in rows), pa.Table.from_pylist(rows))):
        report = load(tmp_path / str(number), source)
        assert (report.stored, report.points) == (3, 3)
        assert payloads(tmp_path / str(number)) == {str(n): {"year": 2000 + n} for n in range(3)}
    assert load(tmp_path / "0", rows, verify=True).skipped == 3
    assert load(tmp_path / "4", iter(rows), fields=SourceFields(drop=("year",))).stored == 3
    assert payloads(tmp_path / "4")["0"] == {}


def test_options_of_reading_are_those_of_an_interrupted_run(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", "id;text;x\n" + "".join(f"{n};text {n};1,5\n" for n in range(2000)))

    def stop(now: Any) -> None:
        if now.stored:
            raise KeyboardInterrupt

    options = TextOptions(delimiter=";")
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "s", source, text_options=options, on_progress=stop)
    with pytest.raises(ResumeRefusedError, match="--drop"):
        load(tmp_path / "s", source, text_options=options, fields=SourceFields(drop=("x",)))
    with pytest.raises(ResumeRefusedError, match="--delimiter"):
        load(tmp_path / "s", source)
    assert load(tmp_path / "s", source, text_options=options).points == 2000
