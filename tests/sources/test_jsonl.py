from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import MissingFieldError, SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, open_sources
from tests.sources.corpus import json_lines, read, read_with_rejects, with_lines, write


def test_beir_corpora_are_recognised_and_their_metadata_becomes_payload(tmp_path: Path) -> None:
    record = {"_id": "4983", "title": "Brains", "text": "Of infants.", "metadata": {"year": 2001, "tags": ["a"]}}
    file = write(tmp_path / "corpus.jsonl", json_lines(record))
    assert read(file) == [Passage("4983", "Of infants.", "Brains", {"year": 2001, "tags": ["a"]})]


def test_other_fields_stand_beside_the_metadata(tmp_path: Path) -> None:
    record = {"_id": "1", "text": "t", "lang": "en", "metadata": {"year": 2001, "lang": "en", "text": "t"}}
    assert read(write(tmp_path / "c.jsonl", json_lines(record)))[0].payload == {"year": 2001, "lang": "en"}


@pytest.mark.parametrize("metadata", [{"lang": "de"}, {"text": "other"}, {"_id": 1}, {"year": True}])
def test_metadata_that_contradicts_the_record_is_rejected(tmp_path: Path, metadata: dict[str, Any]) -> None:
    record = {"_id": "1", "text": "t", "lang": "en", "year": 1, "metadata": metadata}
    passages, [reject] = read_with_rejects(write(tmp_path / "c.jsonl", json_lines(record)))
    assert passages == []
    assert f"field {next(iter(metadata))!r} is in both the record and its metadata" in reject.reason


@pytest.mark.parametrize("metadata", [None, "a string", [1]])
def test_metadata_that_is_no_object_is_a_payload_field(tmp_path: Path, metadata: object) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"_id": "1", "text": "t", "metadata": metadata}))
    assert read(file)[0].payload == {"metadata": metadata}


def test_metadata_outside_beir_stays_nested(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"id": "1", "text": "t", "metadata": {"year": 2001}}))
    assert read(file)[0].payload == {"metadata": {"year": 2001}}


@pytest.mark.parametrize("identifier", ["_id", "id", "doc_id", "docid", "pid", "passage_id"])
@pytest.mark.parametrize("text", ["text", "contents", "content", "passage", "body"])
def test_common_names_are_recognised(tmp_path: Path, identifier: str, text: str) -> None:
    file = write(tmp_path / "c.ndjson", json_lines({"x": None, text: "t", identifier: "i"}))
    assert read(file) == [Passage("i", "t", None, {"x": None})]


def test_the_other_names_are_payload_when_several_are_there(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"id": 9, "_id": "1", "body": "b", "text": "t"}))
    assert read(file) == [Passage("1", "t", None, {"id": 9, "body": "b"})]


def test_fields_are_found_by_dotted_paths_and_leave_the_payload(tmp_path: Path) -> None:
    record = {"meta": {"doc": {"id": 7}, "n": 1}, "parts": {"body": "b"}, "a.b": "title", "x": 2}
    file = write(tmp_path / "c.jsonl", json_lines(record))
    fields = SourceFields(id="meta.doc.id", text="parts.body", title="a.b")
    assert read(file, fields=fields) == [Passage("7", "b", "title", {"meta": {"n": 1}, "x": 2})]


def test_unknown_fields_are_an_error_at_once_that_lists_those_there_are(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"key": 1, "doc": {"abstract": "a", "n": 1}}))
    with pytest.raises(MissingFieldError, match="--id-field") as missing:
        open_sources([file])
    assert missing.value.available == ("key", "doc.abstract", "doc.n")
    with pytest.raises(MissingFieldError, match="--text-field"):
        open_sources([file], fields=SourceFields(id="key"))
    with pytest.raises(MissingFieldError, match=r"'headline'.*--title-field"):
        open_sources([file], fields=SourceFields(id="key", text="doc.abstract", title="headline"))
    assert read(file, fields=SourceFields(id="key", text="doc.abstract"))[0].payload == {"doc": {"n": 1}}


def test_a_name_that_was_given_isnt_looked_for_under_another_role(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"id": 1, "text": "t", "body": "b"}))
    assert read(file, fields=SourceFields(title="text")) == [Passage("1", "b", "t")]
    with pytest.raises(SettingsError, match="must be different fields"):
        SourceFields(id="text", text="text")
    with pytest.raises(SettingsError, match="--id-field is empty"):
        SourceFields(id="")


def test_a_broken_first_record_doesnt_hide_the_fields_of_the_next(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", b'{"id": \n{"text": "no id"}\n{"id": 1, "text": "t"}\n')
    passages, rejects = read_with_rejects(file)
    assert passages == [Passage("1", "t")]
    assert [reject.line for reject in rejects] == [1, 2]


def test_fields_that_come_only_after_much_else_are_still_recognised(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", b"nonsense\n" * 10_000 + b'{"id": 1, "text": "t"}\n')
    passages, rejects = read_with_rejects(file)
    assert (passages, len(rejects)) == ([Passage("1", "t")], 10_000)
    file = write(tmp_path / "d.jsonl", b"nonsense\n" * 10_000 + b'{"key": 1}\n')
    with pytest.raises(MissingFieldError):
        read_with_rejects(file)


@pytest.mark.parametrize("title", [None, ""])
def test_an_empty_title_is_no_title(tmp_path: Path, title: str | None) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"_id": "1", "text": "t", "title": title}))
    assert read(file) == [Passage("1", "t", None)]


def test_titles_may_be_sparse(tmp_path: Path) -> None:
    plain: list[dict[str, Any]] = [{"_id": str(n), "text": "t"} for n in range(200)]
    file = write(tmp_path / "c.jsonl", json_lines(*plain, {"_id": "x", "text": "t", "title": "T"}))
    assert read(file)[-1] == Passage("x", "t", "T")


@pytest.mark.parametrize("number", [0, 42, -1, 2**63, 2**64 - 1, 2**64, 10**30])
def test_integer_ids_become_their_decimal_string(tmp_path: Path, number: int) -> None:
    file = write(tmp_path / "c.jsonl", f'{{"id": {number}, "text": "t"}}\n')
    assert read(file)[0].id == str(number)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"_id": 1.5, "text": "t"}', "must be a string or an integer, got a float"),
        ('{"_id": 1e30, "text": "t"}', "got a float"),
        ('{"_id": true, "text": "t"}', "got a boolean"),
        ('{"_id": {"a": 1}, "text": "t"}', "got an object"),
        ('{"_id": [1], "text": "t"}', "got an array"),
        ('{"_id": null, "text": "t"}', "the id (field '_id') is null"),
        ('{"_id": "", "text": "t"}', "the id is empty"),
        ('{"text": "t"}', "no field '_id', which is the id"),
        ('{"_id": "1"}', "no field 'text', which is the text"),
        ('{"_id": "1", "text": null}', "the text (field 'text') is null"),
        ('{"_id": "1", "text": ""}', "the text is empty"),
        ('{"_id": "1", "text": " \\n\\t"}', "the text is empty"),
        ('{"_id": "1", "text": 5}', "the text must be a string, got int"),
        ('{"_id": "1", "text": "t", "title": 5}', "the title must be a string, got int"),
        ('{"_id": "1", "text": "a\\u0000b"}', "the text has a NUL character at offset 1"),
        ('{"_id": "1", "text": "a\\ud800b"}', "malformed JSON at column"),
        ('{"_id": "1", "text" "t"}', "malformed JSON at column 21"),
        ('{"_id": "ä", "text" "t"}', "malformed JSON at column 21"),
        ('{"_id": "1", "text": "t"} x', "malformed JSON at column 27"),
        ('{"_id": "1", "text": "t", "n": Nan}', "malformed JSON at column 32"),
        ('{"_id": "1", "text": "t", "n": NaN, "m": 1e400}', "the number 1e400 doesn't fit a float"),
        ('{"_id": NaN, "text": "t"}', "the id (field '_id') must be a string or an integer, got a float"),
        ('{"_id": "1", "text": NaN}', "the text (field 'text') is null"),
        ('{"_id": "1", "text": "t", "n": 1e400}', "malformed JSON at column 32"),
        ('{"_id": "1", "text": "t", "n": 9223372036854775808}', "doesn't fit a 64-bit integer"),
        ('{"_id": "1", "text": "t", "n": {"a": [18446744073709551616]}}', "doesn't fit a 64-bit integer"),
        ('{"_id": "1", "text": "t", "n": -9223372036854775809}', "doesn't fit a 64-bit integer"),
        ('{"_id": "1", "text": "t", "": 1}', "a payload field has an empty name"),
        ('{"_id": "1", "text": "t", "n": ' + "[" * 40 + "]" * 40 + "}", "nested deeper than 32"),
        ('{"_id": "1", "text": "t", "n": ' + "[" * 4000 + "]" * 4000 + "}", "malformed JSON"),
        ('{"_id": "1", "text": "t", "n": ' + "9" * 5000 + "}", "malformed JSON"),
        ("[1]", "expected a JSON object, got an array"),
        ("null", "got null"),
        ('"x"', "got a string"),
        ("7", "got a number"),
        ("true", "got a boolean"),
        ("{", "malformed JSON at column 2"),
    ],
)
def test_a_bad_record_is_rejected_with_its_line_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"_id": "%s", "text": "t"}\n'
    file = write(tmp_path / "c.jsonl", good % "first" + line + "\n" + good % "last")
    passages, [reject] = read_with_rejects(file)
    assert [passage.id for passage in passages] == ["first", "last"]
    assert reject.line == 2
    assert reason in reject.reason


def test_invalid_utf8_is_rejected_with_its_offset(tmp_path: Path) -> None:
    passages, [reject] = read_with_rejects(
        write(tmp_path / "c.jsonl", b'{"id": 1, "text": "t"}\n{"id": 2, "text": "\xe4"}\n')
    )
    assert [passage.id for passage in passages] == ["1"]
    assert "byte 0xe4) at byte offset 19 of the line" in reject.reason


def test_vast_floats_are_kept_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", '{"id": 1, "text": "t", "n": [1e30, 5]}\n')
    assert read(file)[0].payload == {"n": [1e30, 5]}


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.json", b'\xef\xbb\xbf\r\n{"id": 1, "text": "a"}\r\n \t\r\n\r\n{"id": 2, "text": "b"}\r\n\n'
    )
    with open_sources([file]) as reader:
        assert with_lines(reader) == [(2, Passage("1", "a")), (5, Passage("2", "b"))]


def test_line_separators_inside_strings_dont_end_lines(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d"
    file = write(tmp_path / "c.jsonl", f'{{"id": 1, "text": "{text}"}}\n')
    assert read(file) == [Passage("1", text)]
