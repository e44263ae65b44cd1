import socket
from pathlib import Path

import pytest

from tasb_qdrant.errors import SettingsError, SourceError
from tasb_qdrant.sources import FORMATS, open_sources
from tests.sources.corpus import read, write


def line(number: int) -> str:
    return f"{number}\tpassage {number}\n"


def ids(*sources: str | Path, file_format: str | None = None) -> list[str]:
    return [passage.id for passage in read(*sources, file_format=file_format)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "d/b.tsv", line(2))
    write(tmp_path / "d/a.tsv", line(1))
    write(tmp_path / "d/c/x.TSV", line(3))
    write(tmp_path / "d/e.jsonl", '{"id": 4, "text": "t"}\n')
    write(tmp_path / "d/.hidden.tsv", line(9))
    write(tmp_path / "d/.git/y.tsv", line(9))
    write(tmp_path / "d/README.md", "not a source")
    return tmp_path / "d"


def test_sources_are_read_in_the_order_given(tmp_path: Path) -> None:
    first, second = write(tmp_path / "z.tsv", line(1)), write(tmp_path / "a.tsv", line(2))
    with open_sources([str(first), second]) as reader:
        assert [(passage.id, reader.source, reader.line) for passage in reader] == [
            ("1", str(first), 1),
            ("2", str(second), 1),
        ]
        assert reader.files == (first, second)
        assert reader.bytes_read == reader.bytes_total == first.stat().st_size + second.stat().st_size


def test_a_folder_stands_for_its_sources_sorted_at_any_depth_but_hidden_ones(folder: Path) -> None:
    assert ids(folder) == ["1", "2", "3", "4"]


def test_a_format_chooses_the_files_of_a_folder(folder: Path) -> None:
    assert ids(folder, file_format="msmarco") == ["1", "2", "3"]
    assert ids(folder, file_format="jsonl") == ["4"]
    with pytest.raises(SourceError, match=r"no file that ends in \.parquet"):
        open_sources([folder], format="parquet")


def test_a_folder_without_sources_is_an_error_that_lists_the_endings(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(SourceError, match=r"\.tsv, \.jsonl, \.ndjson, \.csv, \.parquet"):
        open_sources([tmp_path])


def test_globs_stand_for_what_they_match_sorted(folder: Path) -> None:
    assert ids(f"{folder}/*.tsv") == ["1", "2"]
    assert ids(f"{folder}/**/*.[tT][sS][vV]") == ["1", "2", "3"]
    assert ids(f"{folder.parent}/*") == ["1", "2", "3", "4"]
    assert ids(folder / "[ab].tsv") == ["1", "2"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "[a]*.tsv", line(1))) == ["1"]


def test_a_glob_without_a_match_is_an_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="the pattern matches no file"):
        open_sources([f"{folder}/*.parquet"])


def test_a_file_named_twice_is_refused_however_it_is_named(folder: Path) -> None:
    file = folder / "a.tsv"
    (folder.parent / "link.tsv").symlink_to(file)
    for again in (file, f"{folder}/../d/a.tsv", folder, f"{folder}/a*", folder.parent / "link.tsv"):
        with pytest.raises(SourceError, match=r"a\.tsv.*would duplicate its passages"):
            open_sources([again, file])
    with pytest.raises(SourceError, match=r"<stdin>: is named twice, which"):
        read("-", "-", stdin=b"", file_format="msmarco")


def test_what_isnt_there_or_isnt_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_sources([tmp_path / "missing.tsv"])
    with pytest.raises(SourceError, match="a device, but only files"):
        open_sources(["/dev/null"])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SourceError, match="can't be read"):
        open_sources([tmp_path / "loop"])
    with pytest.raises(SourceError, match="can't be read"):
        open_sources([write(tmp_path / "plain.tsv", "") / "below"])
    with pytest.raises(SourceError, match="can't be read"):
        open_sources(["a\x00b"])


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.tsv")
        with pytest.raises(SourceError, match="a socket, but only files"):
            open_sources(["s.tsv"])


def test_one_bad_source_among_many_stops_everything_before_the_first_passage(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"zzz\.tsv: no such file"):
        open_sources([folder, folder.parent / "zzz.tsv"])
    write(folder / "z.csv", "a,b\n")
    with pytest.raises(SourceError, match=r"z\.csv: no column 'id'"):
        open_sources([folder])


def test_a_name_that_doesnt_tell_the_format_asks_for_it(tmp_path: Path) -> None:
    file = write(tmp_path / "collection", line(1))
    with pytest.raises(SourceError, match=r"give --format \(msmarco, jsonl, csv, tsv, parquet, text\)"):
        open_sources([file])
    assert ids(file, file_format="msmarco") == ["1"]
    assert ids(write(tmp_path / "dump", '\n {"id": 1, "text": "t"}\n')) == ["1"]


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    assert FORMATS == ("msmarco", "jsonl", "csv", "tsv", "parquet", "text")
    with pytest.raises(SettingsError, match="--format takes one of msmarco, jsonl, csv, tsv, parquet, text; got 'xml'"):
        open_sources([tmp_path], format="xml")


def test_sources_must_be_a_list_of_names() -> None:
    with pytest.raises(SettingsError, match="must be a list"):
        open_sources("c.tsv")
    with pytest.raises(SettingsError, match="no source was given"):
        open_sources([])
    with pytest.raises(SettingsError, match="has an empty name"):
        open_sources([""])


def test_a_file_url_is_its_path(tmp_path: Path) -> None:
    (tmp_path / "a b.jsonl").write_text('{"id": 1, "text": "t"}\n')
    for url in (
        f"file://{tmp_path}/a%20b.jsonl",
        f"FILE://localhost{tmp_path}/a%20b.jsonl",
        Path(f"file://{tmp_path}"),
    ):
        with open_sources([url]) as reader:
            assert reader.files == (tmp_path / "a b.jsonl",)
    with pytest.raises(SourceError, match="a file of the machine elsewhere"):
        open_sources(["file://elsewhere/c.jsonl"])


@pytest.mark.parametrize(
    ("name", "shown", "way_out"),
    [
        ("nonsense://host/c.jsonl?key=s", "nonsense://host/c.jsonl?…", "can't be read"),
        ("sftp://user:word@host/c.csv", "sftp://host/c.csv", "needs another package"),
    ],
)
def test_a_url_that_is_not_read_says_why(name: str, shown: str, way_out: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_sources([name])
    assert refused.value.source == shown
    assert way_out in refused.value.reason
