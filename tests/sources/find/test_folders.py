"""What a folder stands for, and what lies in it without being a source."""

import gzip
from pathlib import Path

import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.sources import open_sources
from tests.sources.corpus import read, write


def record(identifier: str) -> str:
    return f'{{"_id": "{identifier}", "text": "t"}}\n'


def ids(*sources: str | Path) -> list[str]:
    return [passage.id for passage in read(*sources)]


def test_json_files_count_where_they_are_named_but_not_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", record("1"))
    file = write(tmp_path / "b.json", record("2"))
    write(tmp_path / "package.json", '{"name": "settings"}')
    assert ids(tmp_path) == ["1"]
    assert ids(tmp_path, file) == ["1", "2"]
    assert ids(f"{tmp_path}/b*.json") == ["2"]


@pytest.mark.parametrize("mark", ["config.json", "modules.json"])
def test_a_model_in_a_folder_is_passed_over_with_all_in_it(tmp_path: Path, mark: str) -> None:
    write(tmp_path / "a.jsonl", record("1"))
    write(tmp_path / "models/tas-b" / mark, "{}")
    write(tmp_path / "models/tas-b/eval/results.csv", "epoch,steps\n1,2\n")
    write(tmp_path / "models/tas-b/vocab.tsv", "1\tx\n")
    assert ids(tmp_path) == ["1"]


def test_a_folder_named_itself_is_read_whatever_settings_lie_in_it(tmp_path: Path) -> None:
    write(tmp_path / "config.json", "{}")
    write(tmp_path / "a.jsonl", record("1"))
    assert ids(tmp_path) == ["1"]


def test_a_collection_of_the_embedded_store_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", record("1"))
    store = tmp_path / "tasb_qdrant_data/notes"
    write(store / "collection.json", "{}")
    write(store / "shard/data.jsonl", "{}")
    assert ids(tmp_path) == ["1"]
    with pytest.raises(SourceError, match="the folder has no file"):
        open_sources([store])
    (store / "shard/data.jsonl").unlink()
    (store / "shard").rmdir()
    write(store / "other.jsonl", record("2"))
    assert ids(tmp_path) == ["1", "2"]


@pytest.mark.parametrize("end", ["", ".gz"])
def test_of_beirs_folder_the_corpus_alone_is_taken(tmp_path: Path, end: str) -> None:
    def pack(text: str) -> bytes:
        return gzip.compress(text.encode()) if end else text.encode()

    for name in ("nfcorpus", "scifact"):
        write(tmp_path / name / f"corpus.jsonl{end}", pack(record(name)))
        write(tmp_path / name / f"queries.jsonl{end}", pack(record("a query")))
        write(tmp_path / name / "qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t2\t1\n")
    assert ids(tmp_path) == ["nfcorpus", "scifact"]
    assert ids(tmp_path / "scifact") == ["scifact"]
    (tmp_path / "scifact" / f"queries.jsonl{end}").unlink()
    assert ids(tmp_path / "scifact") == ["scifact"]
    (tmp_path / "scifact" / "qrels").rename(tmp_path / "scifact" / "judged")
    with pytest.raises(SourceError, match=r"judged/test\.tsv"):
        open_sources([tmp_path / "scifact"])


def test_an_excluded_file_is_left_out_of_folders_and_globs_however_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", record("1"))
    rejects = write(tmp_path / "rejects.jsonl", '{"source": "s", "line": 1, "reason": "r"}\n')
    for excluded in (rejects, tmp_path / ".." / tmp_path.name / "rejects.jsonl"):
        for source in (tmp_path, f"{tmp_path}/*.jsonl"):
            with open_sources([source], excluded=[excluded, tmp_path / "not made yet"]) as reader:
                assert [passage.id for passage in reader] == ["1"]
    with open_sources([tmp_path / "a.jsonl"], excluded=[tmp_path / "a.jsonl"]) as reader:
        assert reader.files == (tmp_path / "a.jsonl",)
