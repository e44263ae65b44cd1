"""Columns of CSV that hold one type are read as it, and nothing else is."""

from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import RejectedError
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceFields, TextOptions, open_sources
from tests.sources.corpus import read, read_with_rejects, write

NUMBERS = range(20_000)
PADDING = "padding " * 5


def column(path: Path, *cells: str, delimiter: str = ",") -> list[Any]:
    """What the cells of one column become."""
    rows = "".join(f'd{n}{delimiter}t{delimiter}"{cell}"\n' for n, cell in enumerate(cells))
    file = write(path / "c.csv", f"id{delimiter}text{delimiter}v\n{rows}")
    return [passage.payload["v"] for passage in read(file)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2000", "-7", "0", ""], [2000, -7, 0, None]),
        (["2011.0", "", "2013.0"], [2011.0, None, 2013.0]),
        (["1.5", "2", "-0.25"], [1.5, 2.0, -0.25]),
        (["12.50", "3.00"], [12.5, 3.0]),
        (["12.500000000000000000", "1.000000000000000000"], [12.5, 1.0]),
        (["0.5", "1e-05", "2.5e+16"], [0.5, 1e-05, 2.5e16]),
        (["true", "FALSE", ""], [True, False, None]),
        ([str(2**53 - 1)], [2**53 - 1]),
    ],
)
def test_a_column_of_one_type_is_read_as_it(tmp_path: Path, cells: list[str], expected: list[Any]) -> None:
    found = column(tmp_path, *cells)
    assert (found, [type(value) for value in found]) == (expected, [type(value) for value in expected])


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "8"],
        ["+1"],
        ["1e5", "2e5"],
        ["-0"],
        ["1.9", "1.10"],
        ["3", "3.10"],
        [".5"],
        ["5."],
        ["1,5"],
        ["1_000"],
        [" 7"],
        ["٣"],
        ["0x10"],
        ["nan"],
        ["inf"],
        ["1", "n/a"],
        ["true", "1"],
        ["yes", "no"],
        ["2024-01-31", "2024-02-01T10:00:00Z"],
        [str(2**53)],
        ["1234567890123456789"],
        ["0.1234567890123456789"],
        ["", ""],
    ],
)
def test_anything_else_stays_as_it_was_written(tmp_path: Path, cells: list[str]) -> None:
    assert column(tmp_path, *cells) == cells


def test_decimal_commas_are_numbers_where_commas_dont_end_cells(tmp_path: Path) -> None:
    assert column(tmp_path, "1,5", "2", delimiter=";") == [1.5, 2.0]
    for cells in (["1.234,50"], ["1,5", "1.5"], ["1,9", "1,10"], ["1,2,3"]):
        assert column(tmp_path, *cells, delimiter=";") == cells


def test_ids_stay_strings_also_those_of_other_passages(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "passage_id,text,doc_id,year\n1,t,42,2000\n")
    assert [(passage.id, passage.payload) for passage in read(file)] == [("1", {"doc_id": "42", "year": 2000})]


def test_a_cell_far_down_decides_for_the_whole_column(tmp_path: Path) -> None:
    rows = "".join(f"d{n},{PADDING},{n},{n}\n" for n in NUMBERS)
    file = write(tmp_path / "c.csv", f"id,text,year,count\n{rows}last,t,unknown,7\n")
    passages = read(file)
    assert {type(passage.payload["year"]) for passage in passages} == {str}
    assert {type(passage.payload["count"]) for passage in passages} == {int}


def test_the_files_of_a_run_agree_on_the_types(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id,text,year,n\n1,t,2000,1\n")
    write(tmp_path / "b.tsv", "id\ttext\tyear\tn\n2\tt\tca. 2001\t2\n")
    assert [passage.payload for passage in read(tmp_path)] == [{"year": "2000", "n": 1}, {"year": "ca. 2001", "n": 2}]


def test_the_columns_of_a_stream_are_typed_by_its_first_rows_and_what_differs_is_a_reject() -> None:
    rows = "".join(f"d{n},{PADDING},{n}\n" for n in NUMBERS)
    for late in ("unknown", "007", "1.5"):
        data = f"id,text,year\n{rows}last,t,{late}\nmore,t,\n".encode()
        with pytest.raises(RejectedError, match=rf"column 'year' holds integer values.*'{late}'.*--index year:keyword"):
            read("-", file_format="csv", stdin=data)
        assert read("-", file_format="csv", stdin=data, options=TextOptions(typed=False))[0].payload == {"year": "0"}


def test_rows_that_are_rejected_have_no_say(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", b'id,text,year\n1,t,2000\n2,t\n3,"a"b,x\n4,t,2001\n')
    passages, rejects = read_with_rejects(file)
    assert [passage.payload["year"] for passage in passages] == [2000, 2001]
    assert len(rejects) == 2


def test_the_types_of_indexes_go_first(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text,year,code,price\n1,t,2000,7,1\n2,t,2011.0,8,2\n")
    typed = read(file, column_types={"year": "integer", "code": "keyword", "price": "float"})
    assert [passage.payload for passage in typed] == [
        {"year": 2000, "code": "7", "price": 1.0},
        {"year": 2011, "code": "8", "price": 2.0},
    ]


def test_the_reader_says_what_it_took_before_it_reads(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "docid,passage_id,text,year,price,lang,note\n1,1,t,2000,1.5,en,\n")
    with open_sources([file], column_types={"lang": "keyword"}, fields=SourceFields(drop=("note",))) as reader:
        [taken] = reader.fields_taken
    assert (taken.source, taken.format) == (str(file), "csv")
    assert (taken.id, taken.text, taken.title) == ("passage_id", "text", None)
    assert taken.payload == ("docid", "year", "price", "lang")
    assert taken.types == {"year": "integer", "price": "float", "lang": "keyword"}


def test_indexes_that_become_known_after_the_file_was_opened_go_first_too(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", "id,text,code,year\n1,t,7,2011.0\n")
    known: dict[str, IndexType] = {}
    with open_sources([file], column_types=known) as reader:
        known.update({"code": "keyword", "year": "integer"})
        assert [passage.payload for passage in reader] == [{"code": "7", "year": 2011}]
