"""Files that real tools wrote and that were once read wrongly or not at all. They are no part of the project."""

import os
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import RejectedError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, TextOptions, open_sources

INPUTS = Path(os.environ.get("TASB_QDRANT_INPUTS", Path(__file__).resolve().parents[3] / "shared" / "inputs"))
SOURCES = INPUTS / "sources"

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason=f"the files in {SOURCES} are not there")


def passages(name: str, **asked: Any) -> list[Passage]:
    with open_sources([SOURCES / name], **asked) as reader:
        return list(reader)


def payloads(name: str, **asked: Any) -> list[Any]:
    return [passage.payload for passage in passages(name, **asked)]


def ids(name: str, **asked: Any) -> list[str]:
    return [passage.id for passage in passages(name, **asked)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v2.jsonl", ["coll_passage_00_0", "coll_passage_00_45", "coll_passage_00_93"]),
        ("chunks.jsonl", ["manual#1", "guide#1"]),
        ("own_export.jsonl", ["a1", "a2"]),
        ("export.jsonl", ["a1", "a2"]),
        ("title_only.jsonl", ["5"]),
        ("beir_edge.jsonl", ["1", "2", "3", "4", "5"]),
        ("hf_beir_folder", ["d1", "d2"]),
        ("decimal_id_uppercase.parquet", ["1000", "1001", "1002"]),
        ("binary_strings.parquet", ["a", "b", "c"]),
        ("excel_trailing.csv", ["a", "b"]),
    ],
)
def test_the_passages_own_ids_are_taken(name: str, expected: list[str]) -> None:
    assert ids(name) == expected


def test_values_are_what_their_writers_meant() -> None:
    assert [one["year"] for one in payloads("year_with_gaps_pandas.csv")] == [2011, None, 2013]
    assert [one["year"] for one in payloads("year_with_gaps_pandas.csv", column_types={"year": "integer"})] == [
        2011, None, 2013,
    ]  # fmt: skip
    assert payloads("decimal_bigint_duckdb.parquet")[1]["tweet"] == 1234567890123456790
    assert payloads("json_column_duckdb.parquet")[1] == {"meta": {"lang": "en", "n": 1}}
    assert [one["tod"] for one in payloads("time_column_pandas.parquet")][:2] == ["10:00:00", None]
    assert ids("uuid_id_duckdb.parquet")[0] == "1db0b1e1-7ec4-4a5f-8b14-07e4b6a06e28"
    assert payloads("excel_semi.csv") == [{"price": 1.5}]
    assert payloads("odd_columns.csv")[0] == {"meta.year": 2001, "Publication Year": 1999, "sprache-neu": "de"}
    assert payloads("dotted_columns_pandas.parquet", fields=SourceFields(fields=("meta.year",)))[1] == {
        "meta.year": 2001
    }


@pytest.mark.parametrize("name", ["nan.jsonl", "nan_polars.parquet"])
def test_nan_costs_no_passage(name: str) -> None:
    with open_sources([SOURCES / name]) as reader:
        assert len(list(reader)) == 3
        assert reader.nulled > 0


def test_folders_of_tables_are_read_as_tables() -> None:
    pytest.importorskip("deltalake", reason="tasb-qdrant[delta] isn't installed")
    assert ids("delta_deleted_row") == ["a", "c"]
    with pytest.raises(SourceError, match="name the table's folder"):
        open_sources([f"{SOURCES}/delta_deleted_row/*.parquet"])
    spark = passages("hive_spark")
    assert len(spark) == 12
    assert {(type(one.payload["year"]), one.payload["lang"]) for one in spark} == {(int, "en"), (int, "de")}
    assert len(ids("spark_leftover_temporary")) == 12


def test_spreadsheets_and_spark_are_read_with_the_option_that_the_error_names() -> None:
    with pytest.raises(Exception, match="--encoding cp1252"):
        passages("smart.csv")
    assert passages("smart.csv", options=TextOptions(encoding="cp1252"))[0].text == "It’s good"
    with pytest.raises(Exception, match="--escape"):
        passages("spark_csv_backslash")
    spark = passages("spark_csv_backslash", options=TextOptions(escape="\\"))
    assert len(spark) == 12
    assert spark[1].text == 'Passage number 3 talks of rivers, "banks" and boats.\nIt has two lines.'
    assert spark[1].payload["price"] == 12.5


def test_ids_that_became_one_float_are_refused() -> None:
    fields = SourceFields(id="huge")  # HUGEINT of DuckDB, from 2^53 up
    with pytest.raises(RejectedError, match="which several integers become; store the ids as integers or strings"):
        passages("decimal_bigint_duckdb.parquet", fields=fields)
