"""What a run takes from its source: the types of columns, exact names, tables in memory, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasb_qdrant.errors import ModelError, RejectedError, ResumeRefusedError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.verify.run import verify
from tasb_qdrant.records import IngestReport, Passage
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
    load(tmp_path, first, {"code": "keyword", "price": "float", "year": "integer"})
    load(tmp_path, more)
    assert payloads(tmp_path)["2"] == {"code": "7", "price": 2, "year": 2011}


def test_a_column_with_a_dot_is_indexed_by_its_own_name(tmp_path: Path) -> None:
    report = load(tmp_path, write(tmp_path / "a.csv", "id,text,meta.year\n1,t,2001\n"), {"meta.year": "integer"})
    assert payloads(tmp_path) == {"1": {"meta.year": 2001}}
    assert report.warnings == ()


def test_an_index_that_no_passage_has_a_value_for_is_warned_of(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '{"id": 1, "text": "t", "meta": {"year": 1}, "n": NaN}\n')
    report = load(
        tmp_path, lines, {"meta.year": "integer", "yaer": "integer", "text": "text"},
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
    report = load(tmp_path, source, on_progress=lambda now: told.append(now.notes) if not now.stored else None)
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
        load(tmp_path, source, text_options=options, on_progress=stop)
    with pytest.raises(ResumeRefusedError, match="--drop"):
        load(tmp_path, source, text_options=options, fields=SourceFields(drop=("x",)))
    with pytest.raises(ResumeRefusedError, match="--delimiter"):
        load(tmp_path, source)
    assert load(tmp_path, source, text_options=options).points == 2000


def test_nan_in_passages_of_a_program_is_null_and_counted(tmp_path: Path) -> None:
    spoiled: dict[str, Any] = {"n": 1.0}
    passages = [
        Passage("1", "one", payload={"n": float("nan"), "m": 2}),
        Passage("2", "two", payload=spoiled),
        Passage("3", "three", payload={"n": [float("inf"), 1.0, float("nan")]}),
    ]
    spoiled["n"] = float("nan")
    report = load(tmp_path, passages)
    assert report.warnings == ("4 values that JSON can't represent (NaN or Infinity) became null",)
    assert stored.embedded(tmp_path)["1"][0] == {"passage_id": "1", "text": "one", "n": None, "m": 2}
    assert load(tmp_path, iter([{"id": "4", "text": "t", "n": float("nan")}])).warnings == (
        "1 value that JSON can't represent (NaN or Infinity) became null",
    )
    report = load(tmp_path, passages, sync=True, delete_anyway=True)
    assert report.warnings == ("4 values that JSON can't represent (NaN or Infinity) became null",)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "records", "iterator"])
def test_strings_and_floats_become_what_their_index_has_as_cells_of_csv_do(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "1", "text": "one", "year": "2011", "price": "2.5", "draft": "true", "lang": "1"},
        {"id": "2", "text": "two", "year": " +2012 ", "price": "", "draft": "0", "lang": "de"},
        {"id": "3", "text": "three", "year": None, "price": "3", "draft": None, "lang": "en"},
    ]
    source: Any = tmp_path / f"p.{suffix}"
    if suffix == "jsonl":
        rows.append({"id": "4", "text": "four", "year": 2013.0, "price": 1, "draft": False, "lang": "x"})
        rows.append({"id": "5", "text": "five", "year": ["2014", 2015], "price": 1.5, "draft": True, "lang": "x"})
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == "json":
        source.write_text(json.dumps(rows))
    elif suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), source)
    else:
        source = rows if suffix == "records" else iter(rows)
    indexes: dict[str, IndexType] = {"year": "integer", "price": "float", "draft": "bool", "lang": "keyword"}
    report = load(tmp_path, source, indexes)
    assert report.rejected == 0
    there = stored.embedded(tmp_path)
    kept = {point: [payload.get(name) for name in indexes] for point, (payload, _) in there.items()}
    assert kept["1"] == [2011, 2.5, True, "1"]
    assert kept["2"] == [2012, None, False, "de"]
    assert kept["3"] == [None, 3.0, None, "en"]
    if suffix == "jsonl":
        assert kept["4"] == [2013, 1, False, "x"]
        assert kept["5"] == [[2014, 2015], 1.5, True, "x"]
    count = {"jsonl": 4}.get(suffix, 2)
    said = "values in another form than their index has were converted, as those of CSV are"
    assert report.warnings == (f"{said}: 2 of draft, 3 of price, {count} of year",)


def test_a_collections_own_index_converts_and_nested_fields_too_and_nonsense_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", '{"id": 1, "text": "t", "meta": {"year": 2000}}\n')
    load(tmp_path, first, {"meta.year": "integer"})
    second = write(tmp_path / "b.jsonl", '{"id": 2, "text": "t", "meta": {"year": "2001"}}\n')
    report = load(tmp_path, second)
    assert stored.embedded(tmp_path)["2"][0]["meta"] == {"year": 2001}
    assert "1 of meta.year" in report.warnings[0]
    assert verify(second, collection="c", path=tmp_path, sample=0).text == 0
    third = write(tmp_path / "c.jsonl", '{"id": 3, "text": "t", "meta": {"year": "MMI"}}\n')
    with pytest.raises(RejectedError, match='indexed as integer, got "MMI"'):
        ingest(third, collection="c", path=tmp_path, model=tmp_path / "none")  # before a model is loaded


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_what_contradicts_an_index_is_said_before_a_model_is_loaded(tmp_path: Path, name: str) -> None:
    load(tmp_path, [Passage("1", "t", payload={"year": 1})], {"year": "integer"})
    text = "id,text,year\n2,t,MMI\n" if name == "c.csv" else '{"id": "2", "text": "t", "year": "MMI"}'
    source = write(tmp_path / name, text)
    where: Any = {"path": tmp_path, "model": tmp_path / "none"}
    with pytest.raises(RejectedError, match="indexed as integer, got"):
        ingest(source, collection="c", **where)
    settings = CollectionSettings(indexes={"year": "integer"})
    with pytest.raises(RejectedError, match="indexed as integer, got"):
        ingest(source, collection="new", settings=settings, **where)
    with pytest.raises(ModelError):  # it is kept, and so the run goes on
        ingest(source, collection="c", rejects=tmp_path / "rejects", **where)
