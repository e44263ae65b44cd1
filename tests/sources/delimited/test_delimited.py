from pathlib import Path

import pytest

from tasb_qdrant.errors import MissingFieldError, SettingsError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceFields, open_sources
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES
from tests.sources.corpus import read, read_with_rejects, with_lines, write


def test_other_columns_are_payload(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "year,id,text,title,lang\n2020,1,one,T,\n2021,2,two,,de\n")
    assert read(file) == [
        Passage("1", "one", "T", {"year": 2020, "lang": ""}),
        Passage("2", "two", None, {"year": 2021, "lang": "de"}),
    ]


def test_quoted_fields_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    data = 'id,text\n1,"a, ""b""\nc\r\nd"\n\n2,plain\n'
    with open_sources([write(tmp_path / "c.csv", data)]) as reader:
        assert with_lines(reader) == [(2, Passage("1", 'a, "b"\nc\r\nd')), (6, Passage("2", "plain"))]


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_data(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.csv", b"\xef\xbb\xbfid,text\r\n1,one\r\n")) == [Passage("1", "one")]


def test_columns_can_be_named(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", "a.b\tabstract\theadline\n1\tt\th\n")
    fields = SourceFields(id="a.b", text="abstract", title="headline")
    assert read(file, fields=fields) == [Passage("1", "t", "h")]


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        (SourceFields(), "--id-field"),
        (SourceFields(id="key"), "--text-field"),
        (SourceFields(id="nope"), "'nope'.*--id-field"),
        (SourceFields(id="key", text="abstract", title="nope"), "'nope'.*--title-field"),
    ],
)
def test_a_missing_column_is_an_error_at_once_that_lists_those_there_are(
    tmp_path: Path, fields: SourceFields, option: str
) -> None:
    file = write(tmp_path / "c.csv", "key,abstract\n1,t\n")
    with pytest.raises(MissingFieldError, match=option) as missing:
        open_sources([file], fields=fields)
    assert missing.value.available == ("key", "abstract")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (",id,text", "column 1 of the header has no name"),
        ("id,text,x,x", "the column 'x' more than once"),
        ('id,"text"x', "the header can't be read"),
        ('id,"text', "the header can't be read"),
    ],
)
def test_a_header_that_cant_be_used_is_an_error_at_once(tmp_path: Path, header: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        open_sources([write(tmp_path / "c.csv", f"{header}\n1,2,3,4\n")])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"1,one", "2 columns, expected 3"),
        (b"1", "1 column, expected 3"),
        (b"1,one,x,y", "4 columns, expected 3"),
        (b",one,x", "the id is empty"),
        (b"1,,x", "the text is empty"),
        (b"1,a\x00b,x", "the text has a NUL character"),
        (b'1,"a"b,x', "malformed: ',' expected after"),
        (b"1,a\rb,x", "malformed: new-line character"),
        (b"1,\xff,x", "invalid UTF-8 (byte 0xff) at byte offset 2"),
        (b'1,"a\nb\xff\nc",x', "invalid UTF-8 (byte 0xff) at byte offset 1"),
    ],
)
def test_a_bad_record_is_rejected_and_the_next_one_read(tmp_path: Path, record: bytes, reason: str) -> None:
    file = write(tmp_path / "c.csv", b"id,text,x\n0,first,\n" + record + b"\n9,last,\n")
    passages, [reject] = read_with_rejects(file)
    assert [passage.id for passage in passages] == ["0", "9"]
    assert reject.line == 3
    assert reason in reject.reason


def test_a_quote_that_is_never_closed_is_a_reject_that_names_its_lines(tmp_path: Path) -> None:
    passages, [reject] = read_with_rejects(write(tmp_path / "c.csv", 'id,text\n1,one\n2,"two\n3,three\n'))
    assert [passage.id for passage in passages] == ["1"]
    assert reject.line == 3
    assert reject.reason == "malformed: unexpected end of data (the record's lines are 3 to 4)"


def test_a_quote_that_is_never_closed_takes_bounded_memory(tmp_path: Path) -> None:
    filler = b"3,three\n" * (MAX_LINE_BYTES // 8 + 10)
    file = write(tmp_path / "c.csv", b'id,text\n2,"two\n' + filler + b"4,four\n")
    passages, rejects = read_with_rejects(file)
    assert "is a quote left open?" in rejects[0].reason
    assert (rejects[0].line, len(rejects), passages[-1].id) == (2, 1, "4")


def test_fields_longer_than_the_csv_modules_default_are_read(tmp_path: Path) -> None:
    long = "word " * 100_000
    assert read(write(tmp_path / "c.csv", f"id,text\n1,{long}\n")) == [Passage("1", long)]


def test_indexed_columns_get_the_type_of_their_index(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text,i,f,b,k,id2\n1,t, -7 ,1e3,TRUE,5,5\n2,t,,,,,\n3,t,2011.0,.5,0,x,x\n")
    types: dict[str, IndexType] = {
        "id": "integer", "i": "integer", "f": "float", "b": "bool", "k": "keyword", "nowhere": "integer",
    }  # fmt: skip
    assert [passage.payload for passage in read(file, column_types=types)] == [
        {"i": -7, "f": 1000.0, "b": True, "k": "5", "id2": "5"},
        {"i": None, "f": None, "b": None, "k": "", "id2": ""},
        {"i": 2011, "f": 0.5, "b": False, "k": "x", "id2": "x"},
    ]


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("integer", "2020.5"),
        ("integer", "1_000"),
        ("integer", "٣"),
        ("integer", "1" * 20),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "1,5"),
        ("bool", "yes"),
        ("bool", "2"),
    ],
)
def test_a_cell_of_another_type_is_a_reject_that_names_it(tmp_path: Path, kind: IndexType, cell: str) -> None:
    file = write(tmp_path / "c.csv", f'id,text,n\n1,t,"{cell}"\n2,t,\n')
    passages, [reject] = read_with_rejects(file, column_types={"n": kind})
    assert [passage.id for passage in passages] == ["2"]
    assert reject.line == 2
    assert f"column 'n' is indexed as {kind}" in reject.reason
    assert repr(cell) in reject.reason


@pytest.mark.parametrize(("kind", "cell"), [("integer", "9223372036854775808"), ("float", "1e999")])
def test_a_number_that_cant_be_stored_is_a_reject(tmp_path: Path, kind: IndexType, cell: str) -> None:
    passages, rejects = read_with_rejects(
        write(tmp_path / "c.csv", f"id,text,n\n1,t,{cell}\n"), column_types={"n": kind}
    )
    assert (passages, len(rejects)) == ([], 1)


def test_a_column_cant_be_indexed_as_geo(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text,place\n1,t,1 2\n")
    with pytest.raises(SettingsError, match="'place' can't be indexed as geo"):
        open_sources([file], column_types={"place": "geo"})


def test_a_file_without_even_a_header_holds_no_passages(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", ""), write(tmp_path / "b.csv", "id,text\n")) == []
