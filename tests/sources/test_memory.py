"""Records and tables that a program holds are read by the rules of files."""

import copy
import datetime
import decimal
import types
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasb_qdrant.errors import MissingFieldError, RejectedError, SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.sources import SourceFields, memory, open_records
from tasb_qdrant.sources.memory import is_records

NUMBER = uuid.UUID("12345678-90ab-cdef-1234-567890abcdef")
RECORDS: list[dict[str, Any]] = [
    {"_id": np.int64(7), "title": "T", "text": "one", "metadata": {"on": datetime.date(2020, 2, 29), "n": np.float32(0.5)}},
    {"_id": NUMBER, "title": float("nan"), "text": "two", "metadata": {"price": decimal.Decimal("1.50"), "n": float("nan")}},
]  # fmt: skip
EXPECTED = [
    Passage("7", "one", "T", {"on": "2020-02-29", "n": 0.5}),
    Passage(str(NUMBER), "two", None, {"price": 1.5, "n": None}),
]


def test_dicts_are_read_as_records_of_json_and_stay_as_they_are() -> None:
    given = copy.deepcopy(RECORDS)
    with open_records(given) as reader:
        assert [(reader.line, passage) for passage in reader] == [(1, EXPECTED[0]), (2, EXPECTED[1])]
        assert (reader.nulled, reader.files, reader.bytes_total) == (1, (), None)
        assert reader.fields_taken[0].id == "_id"
    assert given[0] == RECORDS[0]
    assert given[1]["metadata"].keys() == RECORDS[1]["metadata"].keys()
    assert list(open_records(iter(RECORDS))) == EXPECTED


def test_fields_of_dicts_are_named_chosen_and_made_as_those_of_files() -> None:
    records = [{"key": 1, "doc": {"body": "t", "lang": "en"}, "year": 2000}]
    fields = SourceFields(id="key", text="doc.body", drop=("year",))
    assert list(open_records(records, fields=fields)) == [Passage("1", "t", None, {"doc": {"lang": "en"}})]
    made = SourceFields(text="doc.body", id_from="row", fields=())
    assert list(open_records(records, fields=made)) == [Passage("row#1", "t")]
    with pytest.raises(MissingFieldError, match="--id-field"):
        open_records(records)


def test_a_bad_record_is_a_reject_and_a_thing_that_is_none_an_error() -> None:
    records: list[Any] = [{"id": 1, "text": "t"}, {"id": 2}, {"id": 3, "text": "t", "x": object()}]
    rejects: list[Reject] = []
    assert [one.id for one in open_records(records, on_reject=rejects.append)] == ["1"]
    assert [(one.source, one.line) for one in rejects] == [("<records>", 2), ("<records>", 3)]
    with pytest.raises(RejectedError):
        list(open_records(records))
    with pytest.raises(SourceError, match=r"expected a record .* got str"):
        list(open_records([{"id": 1, "text": "t"}, "text"]))


def test_tables_of_arrow_are_read_as_parquet_is() -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "text": pa.array(["one", "two", "three"], pa.string_view()),
            "on": pa.array([0, None, 1], pa.date32()),
            "big": pa.array([decimal.Decimal("5E+3")] * 3, pa.decimal128(5, -3)),
            "u": pa.array([NUMBER.bytes] * 3, pa.uuid()),
            "c": pa.DictionaryArray.from_arrays([0, 1, 0], pa.array(["x", "y"], pa.string_view())),
            "run": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
        }
    )
    expected = [
        Passage("1", "one", None, {"on": "1970-01-01", "big": 5000, "u": str(NUMBER), "c": "x", "run": "a"}),
        Passage("2", "two", None, {"on": None, "big": 5000, "u": str(NUMBER), "c": "y", "run": "a"}),
        Passage("3", "three", None, {"on": "1970-01-02", "big": 5000, "u": str(NUMBER), "c": "x", "run": "b"}),
    ]
    for given in (table, table.to_batches()[0], table.to_reader(), pa.concat_tables([table[:1], table[1:]])):
        assert is_records(given)
        assert list(open_records(given)) == expected
    assert [one.id for one in open_records(table[1:])] == ["2", "3"]


def test_a_batch_that_cannot_say_its_size_counts_its_buffers() -> None:
    class Older:
        """A batch of Arrow before 24 with a view of strings, as Polars hands them over."""

        @property
        def nbytes(self) -> int:
            raise pa.ArrowTypeError("Extracting byte ranges not supported for type string_view")

        def get_total_buffer_size(self) -> int:
            return 48

    assert memory._bytes(Older()) == 48
    assert memory._bytes(pa.record_batch({"a": [1, 2]})) == 16


def test_a_table_of_long_texts_is_cut_into_pieces() -> None:
    table = pa.table({"id": [*range(50)], "text": ["word " * 100_000] * 50})
    with open_records(table) as reader:
        assert [(reader.line, passage.id) for passage in reader] == [(n + 1, str(n)) for n in range(50)]


class Index:
    def __init__(self, *names: str | None) -> None:
        self.names = names


class Frame:
    """As much of pandas as is used."""

    def __init__(self, rows: list[dict[str, Any]], index: str | None = None) -> None:
        self._rows, self.index = rows, Index(index)
        self.iloc = self

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> "Frame":
        return Frame(self._rows[part], *self.index.names)

    def reset_index(self) -> "Frame":
        return Frame([{self.index.names[0] or "": f"i{n}", **row} for n, row in enumerate(self._rows)])

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self._rows


class Dataset:
    """As much of `datasets` as is used."""

    def with_format(self, name: str) -> "Dataset":
        assert name == "arrow"
        return self

    def iter(self, batch_size: int) -> Iterator[pa.Table]:
        yield pa.table({"id": ["1"], "text": ["t"]})
        yield pa.table({"id": ["2"], "text": ["t"]})


def test_frames_and_datasets_are_known_by_their_packages() -> None:
    for kind, package in ((Frame, "pandas.core.frame"), (Dataset, "datasets.arrow_dataset")):
        kind.__module__ = package
    rows = [{"id": n, "text": "t", "year": float("nan")} for n in range(3000)]
    assert is_records(Frame(rows))
    assert [one.id for one in open_records(Frame(rows))] == [str(n) for n in range(3000)]
    assert [one.id for one in open_records(Frame([{"text": "t"}], index="id"))] == ["i0"]
    assert [one.id for one in open_records(Dataset())] == ["1", "2"]


def test_what_holds_passages_or_names_is_no_table() -> None:
    others: list[Any] = [["c.jsonl"], "c.jsonl", [], [Passage("1", "t")], iter(RECORDS), types.MappingProxyType({})]
    for given in others:
        assert not is_records(given)
    assert is_records(RECORDS)
    assert is_records(tuple(RECORDS))
