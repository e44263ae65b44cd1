"""CSV as Excel, Spark and their kin write it."""

from pathlib import Path

import pytest

from tasb_qdrant.errors import SettingsError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, TextOptions, open_sources
from tests.sources.corpus import read, read_with_rejects, write

FRENCH = "id;texte;prix\r\n1;L’été;1,5\r\n"


def test_a_line_that_names_the_delimiter_is_no_header(tmp_path: Path) -> None:
    for first in ("sep=;", '"sep=;"', "SEP=;"):
        file = write(tmp_path / "c.csv", f"{first}\r\nid;text;price\r\na;Otters float, and so on;1,5\r\n")
        with open_sources([file]) as reader:
            assert [(reader.line, passage) for passage in reader] == [
                (3, Passage("a", "Otters float, and so on", None, {"price": 1.5}))
            ]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_delimiter_is_certain_where_it_gives_the_columns_their_names(tmp_path: Path, delimiter: str) -> None:
    file = write(tmp_path / "c.csv", f"id{delimiter}text{delimiter}a,b\n1{delimiter}one, two{delimiter}x\n")
    assert read(file) == [Passage("1", "one, two", None, {"a,b": "x"})]
    file = write(tmp_path / "d.csv", f"key{delimiter}body,long\n1{delimiter}t\n")
    assert read(file, fields=SourceFields(id="key", text="body,long")) == [Passage("1", "t")]


def test_a_delimiter_that_isnt_certain_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", FRENCH)
    with pytest.raises(SourceError, match=r"one column, 'id;texte;prix', when cut at ','; name .* with --delimiter"):
        open_sources([file])
    fields = SourceFields(text="texte")
    assert read(file, fields=fields, options=TextOptions(delimiter=";"))[0].payload == {"prix": 1.5}
    tilde = write(tmp_path / "d.csv", "id~text\n1~t\n")
    assert read(tilde, options=TextOptions(delimiter="~")) == [Passage("1", "t")]
    assert read(write(tmp_path / "e.csv", "id\ttext\n1\tt\n"), options=TextOptions(delimiter="\\t"))[0].text == "t"


def test_another_encoding_is_named_by_the_option_that_the_reject_tells_of(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text\r\na,It’s good\r\nb,Plain\r\n".encode("cp1252"))
    passages, [reject] = read_with_rejects(file)
    assert [passage.id for passage in passages] == ["b"]
    assert "invalid UTF-8 (byte 0x92)" in reject.reason
    assert "--encoding cp1252" in reject.reason
    assert read(file, options=TextOptions(encoding="cp1252"))[0] == Passage("a", "It’s good")
    with pytest.raises(SourceError, match=r"no ascii text: the bytes 92 .*give another --encoding"):
        read(file, options=TextOptions(encoding="ascii"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"), [("c.csv", "id,text\n1,é 🦀\n"), ("c.tsv", "1\té 🦀\n"), ("c.jsonl", '{"id": 1, "text": "é 🦀"}')]
)
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    mark = b"" if encoding in ("utf-16", "utf-32") else "\ufeff".encode(encoding)
    assert read(write(tmp_path / name, mark + text.encode(encoding))) == [Passage("1", "é 🦀")]


def test_utf16_without_a_mark_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", '{"id": 1, "text": "t"}\n'.encode("utf-16-le"))
    with pytest.raises(SourceError, match="NUL, expected UTF-8 text; name the encoding: --encoding utf-16-le"):
        open_sources([file])
    assert read(file, options=TextOptions(encoding="utf-16-le")) == [Passage("1", "t")]


def test_columns_at_the_end_without_a_name_and_without_a_value_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text,,\na,Otters float,,\nb,Granite cools,,x\nc,Kites,\nd,Bees\n")
    passages, [reject] = read_with_rejects(file)
    assert passages == [Passage("a", "Otters float"), Passage("c", "Kites"), Passage("d", "Bees")]
    assert (reject.line, reject.reason) == (3, "4 columns, expected 2")


def test_quotes_after_an_escape_character_are_part_of_the_text(tmp_path: Path) -> None:
    rows = '1,"He said \\"hello\\", twice.\nAnd left.",C:\\new\n2,"ends in \\\\",\\\n3,"a ""b"" c",x\n'
    file = write(tmp_path / "c.csv", f"id,text,path\n{rows}")
    _, rejects = read_with_rejects(file)
    assert rejects[0].reason.startswith("malformed: ',' expected after '\"'; if the backslash before the quote")
    assert "--escape '\\'" in rejects[0].reason
    assert read(file, options=TextOptions(escape="\\")) == [
        Passage("1", 'He said "hello", twice.\nAnd left.', None, {"path": "C:\\new"}),
        Passage("2", "ends in \\", None, {"path": "\\"}),
        Passage("3", 'a "b" c', None, {"path": "x"}),
    ]


def test_a_file_without_a_header_is_told_its_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "1;one;2000\n2;two;2001\n")
    options = TextOptions(header=False, columns=("id", "text", "year"))
    with open_sources([file], options=options) as reader:
        assert [(reader.line, passage) for passage in reader] == [
            (1, Passage("1", "one", None, {"year": 2000})),
            (2, Passage("2", "two", None, {"year": 2001})),
        ]
    with pytest.raises(SourceError, match="--columns names 2 columns, and the first line has 3"):
        open_sources([file], options=TextOptions(header=False, columns=("id", "text"), delimiter=";"))


def test_columns_can_be_renamed(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", ",text,text\n1,t,x\n")
    with pytest.raises(SourceError, match=r"column 1 of the header has no name.*--columns"):
        open_sources([file])
    assert read(file, options=TextOptions(columns=("id", "text", "more"))) == [Passage("1", "t", None, {"more": "x"})]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"delimiter": ";;"}, "--delimiter takes one ASCII character"),
        ({"escape": '"'}, "--escape takes one ASCII character"),
        ({"delimiter": "\\", "escape": "\\"}, "must differ"),
        ({"encoding": "latin-one"}, "--encoding takes the name of a text encoding"),
        ({"encoding": "base64"}, "--encoding takes the name of a text encoding"),
        ({"columns": ("a", "a")}, "--columns takes names, each once"),
        ({"header": False}, "--no-header goes with --columns"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        TextOptions(**options)  # type: ignore[arg-type]  # as the command line gives them
