from pathlib import Path

import pytest

from tasb_qdrant.errors import RejectedError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, open_sources
from tests.sources.corpus import read, read_with_rejects, with_lines, write


def test_a_collection_reads_as_id_and_text(tmp_path: Path) -> None:
    file = write(tmp_path / "collection.tsv", "0\tThe first passage.\n1\tThe second.\n")
    assert read(file) == [Passage("0", "The first passage."), Passage("1", "The second.")]


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.tsv", "0\ta\n1\tb")) == [Passage("0", "a"), Passage("1", "b")]


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_data(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", b"\xef\xbb\xbf0\ta\r\n1\tb\r\n")
    assert read(file) == [Passage("0", "a"), Passage("1", "b")]


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh"
    assert read(write(tmp_path / "c.tsv", f"7\t{text}\n")) == [Passage("7", text)]


def test_spaces_around_a_text_and_quotes_are_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", '7\t "quoted" text \n')
    assert read(file) == [Passage("7", ' "quoted" text ')]


def test_blank_lines_count_but_hold_no_passage(tmp_path: Path) -> None:
    with open_sources([write(tmp_path / "c.tsv", "0\ta\n\n  \n1\tb\n\n")]) as reader:
        assert with_lines(reader) == [(1, Passage("0", "a")), (4, Passage("1", "b"))]
        assert reader.rejected == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "1 column, expected 2"),
        (b"1\ta\tb", "3 columns, expected 2"),
        (b"\ttext", "the id is empty"),
        (b" \ttext", "the id is empty"),
        (b"1\t", "the text is empty"),
        (b"1\t \xc2\xa0 ", "the text is empty"),
        (b"1\t\r", "the text is empty"),
        (b"1\ta\xffb", "invalid UTF-8 (byte 0xff) at byte offset 3 of the line"),
        (b"1\ta\xed\xa0\x80b", "invalid UTF-8 (byte 0xed) at byte offset 3"),
        (b"1\ta\x00b", "the text has a NUL character at offset 1"),
        (b"x" * 1025 + b"\ttext", "the id has 1025 characters, at most 1024"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    file = write(tmp_path / "c.tsv", b"0\tfirst\n" + line + b"\n2\tthird\n")
    passages, rejects = read_with_rejects(file)
    assert [passage.id for passage in passages] == ["0", "2"]
    [reject] = rejects
    assert (reject.source, reject.line) == (str(file), 2)
    assert reason in reject.reason


def test_without_a_place_for_rejects_the_first_one_stops_the_reading(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", "0\tfirst\nbroken\n2\tthird\n")
    with open_sources([file]) as reader:
        assert next(reader).id == "0"
        with pytest.raises(RejectedError) as stopped:
            next(reader)
        assert (stopped.value.source, stopped.value.line) == (str(file), 2)
        assert reader.rejected == 1
        with pytest.raises(RejectedError):  # an end here would look like success
            next(reader)


@pytest.mark.parametrize("header", ["id\ttext", "pid\tpassage", '"_id"\t"contents"', "doc_id\tbody"])
def test_a_tsv_with_known_names_in_its_first_line_has_a_header(tmp_path: Path, header: str) -> None:
    assert read(write(tmp_path / "c.tsv", f"{header}\n7\tseven\n")) == [Passage("7", "seven")]


def test_a_tsv_with_more_columns_has_a_header(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", 'id\ttext\ttitle\n1\t"a ""b"" c"\tAaron\n')
    assert read(file) == [Passage("1", 'a "b" c', "Aaron")]


@pytest.mark.parametrize(
    "first", ["7\tseven", "0\ttext is what this is", "D1\tA passage of more than four words.", "x\t" + "y" * 65]
)
def test_a_tsv_whose_first_line_can_only_be_a_passage_has_no_header(tmp_path: Path, first: str) -> None:
    assert len(read(write(tmp_path / "c.tsv", f"{first}\n8\teight\n"))) == 2


@pytest.mark.parametrize(
    "first", ["docno\tabstract", "id\tabstract of a paper", "docno\ttext", "ID\tText", "D1\thello", "#id\tdoc"]
)
def test_a_first_line_that_could_be_either_is_asked_about(tmp_path: Path, first: str) -> None:
    file = write(tmp_path / "c.tsv", f"{first}\n8\teight\n")
    with pytest.raises(SourceError, match=r"--format tsv for a header, or --format msmarco for none"):
        open_sources([file])
    assert len(read(file, file_format="msmarco")) == 2


def test_naming_fields_means_that_a_tsv_has_a_header(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", "docno\tabstract\n8\teight\n")
    assert read(file, fields=SourceFields(id="docno", text="abstract")) == [Passage("8", "eight")]


def test_the_format_option_overrides_the_guess(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", "id\ttext\n7\tseven\n")
    assert read(file, file_format="msmarco") == [Passage("id", "text"), Passage("7", "seven")]
    assert read(file, file_format="tsv") == [Passage("7", "seven")]


def test_an_empty_file_holds_no_passages(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.tsv", ""), write(tmp_path / "b.tsv", "\n\n")) == []
