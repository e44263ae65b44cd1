"""Object stores and the hub: files, folders and patterns, by the rules of this machine's."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.sources import SourceFields, open_sources
from tests.ingest.fakes import StubEncoder, fail_at
from tests.sources.remote.stores import S3, Hub


def lines(name: str, count: int = 3) -> bytes:
    return b"".join(json.dumps({"_id": f"{name}{n}", "text": f"{name} {n}"}).encode() + b"\n" for n in range(count))


def parquet(name: str) -> bytes:
    into = io.BytesIO()
    pq.write_table(pa.table({"id": [f"{name}{n}" for n in range(3)], "text": [f"{name} {n}" for n in range(3)]}), into)
    return into.getvalue()


FILES = {
    "c/a.jsonl": lines("a"),
    "c/b.csv.gz": gzip.compress(b"id,text\n" + b"".join(b"b%d,b %d\n" % (n, n) for n in range(3))),
    "c/year=2001/p.parquet": parquet("p"),
    "c/_temporary/x.jsonl": lines("x"),
    "c/.hidden.jsonl": lines("h"),
    "c/notes.txt": b"no passage",
    "beir/corpus.jsonl": lines("doc"),
    "beir/queries.jsonl": lines("query"),
    "model/config.json": b"{}",
    "a b/ü.jsonl": lines("u"),
    "delta/_delta_log/0.json": b"{}",
    "delta/p.parquet": parquet("d"),
}


@pytest.fixture
def bucket(s3: S3) -> S3:
    s3.files = {f"/corpora/{name}": data for name, data in FILES.items()}
    return s3


@pytest.fixture
def dataset(hub: Hub) -> Hub:
    hub.files = dict(FILES)
    return hub


def read(url: str, **options: Any) -> dict[str, int]:
    """The files that were read, by the ends of their names, and how many passages each had."""
    found: dict[str, int] = {}
    with open_sources([url], **options) as reader:
        for passage in reader:
            assert "s3cr3t" not in reader.source
            assert passage.payload == ({"year": 2001} if "year=" in reader.source else {})
            name = reader.source.removesuffix("?…").partition("corpora/" if "s3:" in url else "tiny/")[2]
            found[name] = found.get(name, 0) + 1
    return found


WAYS = [
    ("c/a.jsonl", ["c/a.jsonl"]),
    ("c/b.csv.gz", ["c/b.csv.gz"]),
    ("c/year=2001/p.parquet", ["c/year=2001/p.parquet"]),
    ("c", ["c/a.jsonl", "c/b.csv.gz", "c/year=2001/p.parquet"]),
    ("c/", ["c/a.jsonl", "c/b.csv.gz", "c/year=2001/p.parquet"]),
    ("c/*.jsonl", ["c/a.jsonl"]),
    ("c/**/*.parquet", ["c/year=2001/p.parquet"]),
    ("c/_temporary/*", ["c/_temporary/x.jsonl"]),
    ("c/[ab].*", ["c/a.jsonl", "c/b.csv.gz"]),
    ("beir", ["beir/corpus.jsonl"]),
    ("a%20b/%C3%BC.jsonl", ["a b/ü.jsonl"]),
]


@pytest.mark.parametrize(("path", "files"), WAYS)
def test_s3_gives_files_folders_and_patterns(bucket: S3, path: str, files: list[str]) -> None:
    assert read(bucket.address(path)) == dict.fromkeys(files, 3)


@pytest.mark.parametrize(("path", "files"), WAYS)
def test_the_hub_gives_files_folders_and_patterns(dataset: Hub, path: str, files: list[str]) -> None:
    assert read(f"hf://datasets/BeIR/tiny/{path}") == dict.fromkeys(files, 3)


def test_the_endpoint_of_the_environment_is_asked(bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert read("s3://akey:s3cr3t@corpora/c/a.jsonl") == {"c/a.jsonl": 3}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("none.jsonl", "no such file or folder"),
        ("model", "there is no file that ends in"),
        ("c/*.tsv", r"there is no file that matches \*\.tsv"),
        ("delta", "holds a table of Delta Lake, Hudi or Iceberg"),
    ],
)
def test_what_is_not_there_or_not_read_is_named(bucket: S3, dataset: Hub, path: str, problem: str) -> None:
    for url in (bucket.address(path), f"hf://datasets/BeIR/tiny/{path}"):
        with pytest.raises(SourceError, match=problem) as refused:
            open_sources([url])
        assert "s3cr3t" not in str(refused.value)
        assert refused.value.source.startswith(("s3://corpora/", "hf://datasets/BeIR/tiny/"))


def test_a_dataset_that_is_not_there_is_named(hub: Hub) -> None:
    with pytest.raises(SourceError, match=r"^hf://datasets/BeIR/none: no such file or folder; correct the URL"):
        open_sources(["hf://datasets/BeIR/none"])


def test_an_interrupted_run_resumes(bucket: S3, tmp_path: Path) -> None:
    bucket.files["/corpora/long.jsonl"] = lines("l", 5000)
    where: Any = {"collection": "c", "path": tmp_path / "s"}
    with pytest.raises(RuntimeError, match="cut"):
        ingest(
            bucket.address("long.jsonl"),
            encoder=StubEncoder(before_encode=fail_at(5, RuntimeError("cut"))),
            **where,
        )
    report = ingest(bucket.address("long.jsonl"), encoder=StubEncoder(), **where)
    assert (report.points, report.verified) == (5000, True)
    assert report.resumed["windows"]


def test_ids_made_of_rows_begin_with_the_path_below_the_folder(bucket: S3) -> None:
    fields = SourceFields(id_from="row", drop=("_id",))
    with open_sources([bucket.address("c/*.jsonl")], fields=fields) as reader:
        assert [one.id for one in reader] == ["a.jsonl#1", "a.jsonl#2", "a.jsonl#3"]
