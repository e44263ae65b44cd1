"""Folders as Hive, Spark, the hub and table formats lay them out."""

import builtins
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, open_sources
from tests.sources.corpus import json_lines, read, read_with_rejects, write


def parquet(path: Path, *ids: str, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [*ids], "text": [f"text {one}" for one in ids], **columns}), path)
    return path


def ids(*sources: str | Path, **options: Any) -> list[str]:
    return [passage.id for passage in read(*sources, **options)]


def test_the_names_of_folders_are_fields_of_all_formats(tmp_path: Path) -> None:
    parquet(tmp_path / "t/year=2000/lang=en/a.parquet", "1")
    write(tmp_path / "t/year=2001/lang=a%20b%2Fc/b.csv", "id,text\n2,t\n")
    write(tmp_path / "t/year=2001/lang=__HIVE_DEFAULT_PARTITION__/c.jsonl", json_lines({"_id": "3", "text": "t"}))
    write(tmp_path / "t/year=__HIVE_DEFAULT_PARTITION__/lang=007/d.tsv", "4\tthe text of a passage\n")
    expected = {
        "1": {"year": 2000, "lang": "en"},
        "2": {"year": 2001, "lang": "a b/c"},
        "3": {"year": 2001, "lang": None},
        "4": {"year": None, "lang": "007"},
    }
    folder = tmp_path / "t"
    files = [path for path in folder.rglob("*") if path.is_file()]
    for sources in ([folder], [f"{folder}/*"], [f"{folder}/**/*.*"], files):
        assert {passage.id: passage.payload for passage in read(*sources)} == expected


@pytest.mark.parametrize(
    "values",
    [
        ["1", "03"], ["1", "__HIVE_DEFAULT_PARTITION__"], ["3000000000"], ["2147483648", "1"], ["+1"], ["-03"],
        ["1.5"], ["true"], ["b=c"], ["%C3%A4%20b"], ["2024-01-31"],
    ],
)  # fmt: skip
def test_partitions_are_typed_as_pyarrow_types_them(tmp_path: Path, values: list[str]) -> None:
    for number, value in enumerate(values):
        parquet(tmp_path / f"a={value}" / "p.parquet", str(number))
    table = ds.dataset(tmp_path, partitioning="hive").to_table().to_pylist()
    assert {row["id"]: row["a"] for row in table} == {one.id: one.payload["a"] for one in read(tmp_path)}


def test_a_folder_that_says_otherwise_than_its_rows_is_a_reject(tmp_path: Path) -> None:
    parquet(tmp_path / "t/year=2000/a.parquet", "1", "2", "3", year=[2000, 1999, None])
    write(tmp_path / "t/year=2001/b.csv", "id,text,year\n4,t,2001\n5,t,1999\n6,t,\n")
    passages, rejects = read_with_rejects(tmp_path)
    assert {one.id: one.payload["year"] for one in passages} == {"1": 2000, "3": 2000, "4": 2001, "6": 2001}
    assert [reject.reason for reject in rejects] == [
        f"field 'year' is 1999 in the record and {year} in its folder's name; correct one of them, or leave the field "
        "out with --drop year"
        for year in (2000, 2001)
    ]
    assert all(not passage.payload for passage in read(tmp_path, fields=SourceFields(drop=("year",))))


def test_names_that_programs_set_aside_are_passed_over_at_every_depth(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    parquet(folder / "year=2000/part-0.parquet", "1")
    write(folder / "_SUCCESS", "")
    write(folder / "_temporary/0/_temporary/attempt_1/part-1.parquet", "not written to its end")
    write(folder / "year=2000/_part-2.parquet", "x")
    write(folder / "year=2000/.part-0.parquet.crc", "x")
    write(folder / "year=2000/.spark-staging/part-3.parquet", "x")
    parquet(folder / "_year=2001/part-4.parquet", "2")
    for source in (folder, f"{folder}/*", f"{folder}/**/*.parquet"):
        assert sorted(ids(source)) == ["1", "2"]
    parquet(folder / "_kept/a.parquet", "3")
    assert ids(f"{folder}/_k*/*.parquet") == ids(folder / "_kept") == ids(folder / "_kept/a.parquet") == ["3"]
    with pytest.raises(SourceError, match=r"names that begin with _ or \. are skipped"):
        open_sources([f"{folder}/*/attempt*"])
    with pytest.raises(SourceError, match=r"names that begin with _ or \. are skipped"):
        open_sources([folder / "_temporary"])


@pytest.mark.parametrize(
    ("corpus", "queries"),
    [
        ("corpus/corpus-00000-of-00001.parquet", "queries/queries-00000-of-00001.parquet"),
        ("corpus.parquet", "queries.parquet"),
        ("data/corpus-00000-of-00001.parquet", "data/queries-00000-of-00001.parquet"),
        ("corpus/test-00000-of-00001.parquet", "qrels/test-00000-of-00001.parquet"),
        ("corpus.parquet", "queries/q.parquet"),
        ("Corpus.parquet", "Queries.parquet"),
    ],
)
def test_of_a_beir_folder_from_the_hub_the_corpus_alone_is_taken(tmp_path: Path, corpus: str, queries: str) -> None:
    parquet(tmp_path / "scifact" / corpus, "d1")
    parquet(tmp_path / "scifact" / queries, "q1")
    beside = (tmp_path / "scifact" / queries).parent if "/" not in corpus or "data" in corpus else tmp_path / "scifact"
    write(beside / "qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t2\t1\n")
    assert ids(tmp_path) == ids(tmp_path / "scifact") == ["d1"]


def test_a_corpus_that_lies_there_twice_is_taken_once(tmp_path: Path) -> None:
    for name in ("corpus.parquet", "queries.parquet"):
        parquet(tmp_path / name, name)
    write(tmp_path / "corpus.jsonl", json_lines({"_id": "lines", "text": "t"}))
    assert ids(tmp_path) == ["lines"]
    assert ids(tmp_path, file_format="parquet") == ["corpus.parquet"]


def delta(folder: Path, *versions: list[dict[str, Any]]) -> None:
    for number, actions in enumerate(versions):
        write(folder / "_delta_log" / f"{number:020}.json", json_lines(*actions))


def added(folder: Path, name: str, **values: str | None) -> dict[str, Any]:
    size = (folder / name).stat().st_size
    return {"add": {"path": name, "partitionValues": values, "size": size, "modificationTime": 0, "dataChange": True}}


def begun(*partitions: str, features: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    names = ["id", "text", *partitions]
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "integer" if name == "year" else "string", "nullable": True, "metadata": {}}
        for name in names
    ]
    protocol: dict[str, Any] = {"minReaderVersion": 1, "minWriterVersion": 2}
    if features:
        protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": features,
            "writerFeatures": features,
        }
    metadata = {
        "id": "0a7c0b5e-3f0e-4f5e-9d5c-0d6b3a0b5b11", "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": columns}), "partitionColumns": partitions,
        "configuration": {}, "createdTime": 0,
    }  # fmt: skip
    return [{"protocol": protocol}, {"metaData": metadata}]


def test_of_a_delta_table_the_live_files_are_read(tmp_path: Path) -> None:
    pytest.importorskip("deltalake", reason="tasb-qdrant[delta] isn't installed")
    folder = tmp_path / "data/t"
    parquet(folder / "part-0.parquet", "a", "deleted")
    parquet(folder / "part-1.parquet", "a")
    first = [*begun(), added(folder, "part-0.parquet")]
    remove = {"remove": {"path": "part-0.parquet", "deletionTimestamp": 1, "dataChange": True}}
    delta(folder, first, [added(folder, "part-1.parquet"), remove])
    assert ids(folder) == ids(tmp_path) == ids(f"{tmp_path}/data/*") == ["a"]
    for part in (folder / "part-0.parquet", f"{folder}/*.parquet"):
        with pytest.raises(SourceError, match=r"a file of the Delta table .*/t, .* name the table's folder"):
            open_sources([part])


def test_a_delta_tables_partitions_have_the_types_of_its_schema(tmp_path: Path) -> None:
    pytest.importorskip("deltalake", reason="tasb-qdrant[delta] isn't installed")
    for name in ("year=2000/lang=7/a.parquet", "year=2000/lang=a b/b.parquet"):
        parquet(tmp_path / name, name[-9])
    actions = [
        added(tmp_path, "year=2000/lang=7/a.parquet", year="2000", lang="7"),
        {"add": {**added(tmp_path, "year=2000/lang=a b/b.parquet", year=None, lang="a b")["add"], "path": "year=2000/lang=a%20b/b.parquet"}},
    ]  # fmt: skip
    delta(tmp_path, [*begun("year", "lang"), *actions])
    assert [passage.payload for passage in read(tmp_path)] == [
        {"year": 2000, "lang": "7"},
        {"year": None, "lang": "a b"},
    ]


def test_a_delta_table_whose_rows_are_deleted_in_place_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("deltalake", reason="tasb-qdrant[delta] isn't installed")
    parquet(tmp_path / "a.parquet", "1")
    delta(tmp_path, [*begun(features=("deletionVectors",)), added(tmp_path, "a.parquet")])
    with pytest.raises(SourceError, match=r"a Delta table that can't be read here \(it uses deletionVectors\)"):
        open_sources([tmp_path])


def test_without_the_library_a_delta_table_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("deltalake"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    parquet(tmp_path / "a.parquet", "1")
    delta(tmp_path, [*begun(), added(tmp_path, "a.parquet")])
    with pytest.raises(SourceError, match=r"pip install 'tasb-qdrant\[delta\]'"):
        open_sources([tmp_path])


def test_tables_of_iceberg_and_hudi_are_refused_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "i/metadata/v1.metadata.json", "{}")
    parquet(tmp_path / "i/data/year=2000/a.parquet", "1")
    (tmp_path / "h/.hoodie").mkdir(parents=True)
    parquet(tmp_path / "h/a.parquet", "1")
    for source in ("i", "i/data/year=2000/a.parquet", "i/data/*/*.parquet"):
        with pytest.raises(SourceError, match=r"an Iceberg table, .* pyiceberg reads"):
            open_sources([str(tmp_path / source)])
    for source in ("h", "h/a.parquet"):
        with pytest.raises(SourceError, match=r"a Hudi table, .* spark\.read\.format\('hudi'\)"):
            open_sources([tmp_path / source])
    with pytest.raises(SourceError, match="table"):
        open_sources([tmp_path])
    write(tmp_path / "h/notes.csv", "id,text\n1,t\n")
    assert read(tmp_path, file_format="csv") == [Passage("1", "t")]
