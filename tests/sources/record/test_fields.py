"""Which fields are taken for id, text and title, which are kept, and where ids come from."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import MissingFieldError, SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import FieldsTaken, SourceFields, open_sources
from tests.sources.corpus import json_lines, read, read_with_rejects, write


@pytest.mark.parametrize(
    ("record", "identifier"),
    [
        ({"pid": "p", "passage": "t", "spans": "(0,1)", "docid": "d"}, "p"),
        ({"doc_id": "d", "passage_id": "p", "text": "t"}, "p"),
        ({"passage_id": "p", "text": "t", "doc_id": "d", "id": "row-9"}, "p"),
        ({"doc_id": "d", "chunk_id": "c", "text": "t"}, "c"),
        ({"id": "i", "text": "t", "doc_id": "d"}, "i"),
        ({"_id": "b", "title": "T", "text": "t", "metadata": {"passage_id": "x"}}, "b"),
        ({"docid": "d", "url": "u", "title": "T", "headings": "h", "body": "t"}, "d"),
        ({"docid": "d#0", "title": "T", "segment": "t", "start_char": 0}, "d#0"),
        ({"ID": "i", "TEXT": "t", "Title": "T"}, "i"),
        ({"Id": "i", "_id": "b", "Text": "t"}, "b"),
    ],
)
def test_a_passages_own_id_goes_before_its_documents(tmp_path: Path, record: dict[str, Any], identifier: str) -> None:
    [passage] = read(write(tmp_path / "c.jsonl", json_lines(record)))
    assert (passage.id, passage.text) == (identifier, "t")


def test_what_was_taken_is_known_before_anything_is_read(tmp_path: Path) -> None:
    record = {"pid": "p", "passage": "t", "docid": "d", "meta": {"year": 2000}}
    first = write(tmp_path / "a.jsonl", json_lines(record))
    second = write(tmp_path / "b.jsonl", json_lines({"_id": "1", "title": "T", "text": "t", "metadata": {"year": 1}}))
    with open_sources([first, second], fields=SourceFields()) as reader:
        assert reader.fields_taken == (
            FieldsTaken(str(first), "jsonl", "pid", "passage", None, None, ("docid", "meta")),
            FieldsTaken(str(second), "jsonl", "_id", "text", "title", None, ("year",)),
        )


def test_a_title_and_an_empty_text_are_a_passage(tmp_path: Path) -> None:
    lines = b'{"_id": "5", "title": "Remdesivir", "text": ""}\n{"_id": "6", "title": "Masks", "text": null}\n'
    assert read(write(tmp_path / "c.jsonl", lines)) == [Passage("5", "", "Remdesivir"), Passage("6", "", "Masks")]
    assert read(write(tmp_path / "c.csv", "id,title,text\n5,Remdesivir,\n")) == [Passage("5", "", "Remdesivir")]


def test_what_json_cant_say_is_null_and_costs_no_passage(tmp_path: Path) -> None:
    lines = b'{"id": "a", "text": "t", "n": NaN, "list": [1, -Infinity], "big": 1e30}\n{"id": "b", "text": "t"}\n'
    with open_sources([write(tmp_path / "c.jsonl", lines + b'{"id": "c", "text": "t", "title": NaN}')]) as reader:
        assert [passage.payload for passage in reader] == [{"n": None, "list": [1, None], "big": 1e30}, {}, {}]
        assert (reader.nulled, reader.rejected) == (2, 0)


def test_fields_can_be_chosen_and_left_out(tmp_path: Path) -> None:
    record = {"id": 1, "text": "t", "year": 2000, "a.b": 1, "meta": {"lang": "en", "n": 1}}
    for file in (write(tmp_path / "c.jsonl", json_lines(record)), write(tmp_path / "c.json", json_lines([record]))):
        with open_sources([file], fields=SourceFields(fields=("a.b", "meta.lang", "yaer"))) as reader:
            assert [passage.payload for passage in reader] == [{"a.b": 1, "meta": {"lang": "en"}}]
            assert reader.unseen_fields == ("yaer",)
        left = SourceFields(drop=("a.b", "meta.lang", "nothing"))
        assert read(file, fields=left)[0].payload == {"year": 2000, "meta": {"n": 1}}
    file = write(tmp_path / "c.csv", "id,text,year,a.b\n1,t,2000,1\n")
    assert read(file, fields=SourceFields(fields=("a.b",)))[0].payload == {"a.b": 1}
    assert read(file, fields=SourceFields(drop=("a.b",)))[0].payload == {"year": 2000}
    with pytest.raises(MissingFieldError, match=r"no column 'yaer'.*--fields"):
        read(file, fields=SourceFields(fields=("yaer",)))


def test_beirs_metadata_is_chosen_from_by_its_own_names(tmp_path: Path) -> None:
    record = {"_id": "1", "text": "t", "metadata": {"year": 2001, "lang": "en"}}
    file = write(tmp_path / "c.jsonl", json_lines(record))
    assert read(file, fields=SourceFields(drop=("lang",)))[0].payload == {"year": 2001}


def test_ids_are_made_of_the_text_or_the_row_and_are_the_same_again(tmp_path: Path) -> None:
    rows = [{"text": "one", "title": "T"}, {"text": "two"}, {"text": "one"}]
    files = [
        write(tmp_path / "x/c.jsonl", json_lines(*rows)),
        write(tmp_path / "x/c.csv", "title,text\nT,one\n,two\n,one\n"),
        write(tmp_path / "x/c.json", json_lines(rows)),  # one array
    ]
    of_text = [[passage.id for passage in read(file, fields=SourceFields(id_from="text"))] for file in files]
    assert of_text[0] == of_text[1] == of_text[2]
    assert len(set(of_text[0])) == 3
    assert of_text[0][2] == hashlib.sha256(b"\none").hexdigest()[:32]  # for ever: it is how a second run knows it
    of_row = SourceFields(id_from="row")
    assert [passage.id for passage in read(files[0], fields=of_row)] == ["c.jsonl#1", "c.jsonl#2", "c.jsonl#3"]
    assert [passage.id for passage in read(tmp_path, fields=of_row)][:2] == ["x/c.csv#2", "x/c.csv#3"]
    with pytest.raises(MissingFieldError, match=r"--id-field, or make ids with --id-from text\|row"):
        open_sources([files[0]])


def test_an_id_that_is_there_is_payload_where_ids_are_made(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"id": 7, "text": "t"}))
    assert read(file, fields=SourceFields(id_from="row")) == [Passage("c.jsonl#1", "t", None, {"id": 7})]


def test_two_files_of_one_name_cant_make_the_same_ids(tmp_path: Path) -> None:
    files = [write(tmp_path / name / "c.jsonl", json_lines({"text": "t"})) for name in "ab"]
    with pytest.raises(SettingsError, match=r"two are called 'c\.jsonl'; name the folder that holds both"):
        open_sources(files, fields=SourceFields(id_from="row"))
    assert [passage.id for passage in read(tmp_path, fields=SourceFields(id_from="row"))] == [
        "a/c.jsonl#1",
        "b/c.jsonl#1",
    ]


def test_a_bad_text_is_a_reject_also_where_ids_are_made(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", b'{"text": 5}\n{"text": ""}\n{"text": "t", "title": 5}\n{"text": "t"}\n')
    fields = SourceFields(id_from="text")
    passages, rejects = read_with_rejects(file, fields=fields)
    assert (len(passages), len(rejects)) == (1, 3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fields": ("a",), "drop": ("a",)}, "--fields and --drop both name a"),
        ({"text": "a", "drop": ("a",)}, "--text-field and --drop both name 'a'"),
        ({"drop": ("",)}, "one is empty"),
        ({"id": "a", "id_from": "row"}, "leave one out"),
        ({"id_from": "hash"}, "--id-from takes one of text, row; got 'hash'"),
    ],
)
def test_choices_that_make_no_sense_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        SourceFields(**options)
