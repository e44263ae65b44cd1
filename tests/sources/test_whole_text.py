from pathlib import Path

import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import open_sources
from tests.sources.corpus import read, read_with_rejects, write


def test_each_file_of_a_folder_is_a_passage(tmp_path: Path) -> None:
    write(tmp_path / "docs/guide.md", "\n# The guide #\r\n\nPress the button.\n\n## More\n")
    write(tmp_path / "docs/deep/notes.txt", "No heading here.\n# not one\n")
    write(tmp_path / "docs/title.md", "# A title alone\n")
    write(tmp_path / "docs/plain.md", "Text first.\n\n# Heading\n")
    write(tmp_path / "docs/data.csv", "id,text\n1,t\n")
    expected = [
        Passage("deep/notes.txt", "No heading here.\n# not one", "notes"),
        Passage("guide.md", "Press the button.\n\n## More", "The guide"),
        Passage("plain.md", "Text first.\n\n# Heading", "plain"),
        Passage("title.md", "", "A title alone"),
    ]
    assert read(tmp_path / "docs", file_format="text") == expected
    assert [one.id for one in read(f"{tmp_path}/docs/**/*.md", file_format="text")] == [
        "guide.md", "plain.md", "title.md",
    ]  # fmt: skip
    assert next(one.id for one in read(tmp_path, file_format="text")) == "docs/deep/notes.txt"
    assert read(tmp_path / "docs") == [Passage("1", "t")]


def test_that_a_file_is_one_passage_has_to_be_said(tmp_path: Path) -> None:
    file = write(tmp_path / "collection.txt", "1\tone\n")
    with pytest.raises(SourceError, match="give --format"):
        open_sources([file])
    assert read(file, file_format="msmarco") == [Passage("1", "one")]
    assert read(file, file_format="text") == [Passage("collection.txt", "1\tone", "collection")]


def test_what_is_no_text_is_a_reject(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", " \n")
    write(tmp_path / "b.txt", b"caf\xe9")
    write(tmp_path / "c.txt", b"x" * (16 * 2**20 + 1))
    write(tmp_path / "d.txt", "fine")
    passages, rejects = read_with_rejects(tmp_path, file_format="text")
    assert passages == [Passage("d.txt", "fine", "d")]
    assert [reject.reason.partition(";")[0] for reject in rejects] == [
        "the file is empty",
        "invalid UTF-8 (byte 0xe9) at byte offset 3 of the file",
        "the file is longer than 16,777,216 bytes, the most that is read as one passage",
    ]


def test_json_files_of_a_folder_are_read_where_their_format_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.json", '{"id": 1, "text": "t"}\n')
    write(tmp_path / "b.json", '[{"id": 2, "text": "t"}]')
    assert [one.id for one in read(tmp_path, file_format="jsonl")] == ["1", "2"]
