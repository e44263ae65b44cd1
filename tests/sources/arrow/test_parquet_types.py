"""Types that real writers leave in Parquet, and what a passage makes of them."""

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import MissingFieldError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import SourceFields, open_sources
from tests.sources.corpus import read, read_with_rejects

NUMBER = uuid.UUID("12345678-90ab-cdef-1234-567890abcdef")
DAY = datetime.date(2020, 2, 29)
NAN = float("nan")


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def payloads(path: Path, column: Any) -> list[Any]:
    """What a payload column gives, row by row."""
    ids = [str(n) for n in range(len(column))]
    file = parquet(path / "c.parquet", {"id": ids, "text": ["t"] * len(ids), "v": column})
    return [passage.payload["v"] for passage in read(file)]


def uuids() -> Any:
    return pa.array([NUMBER.bytes, None], pa.uuid())


def test_dictionaries_are_their_values(tmp_path: Path) -> None:
    assert payloads(tmp_path, pa.array([DAY, None]).dictionary_encode()) == ["2020-02-29", None]
    numbers = pa.array([decimal.Decimal(2**60), None], pa.decimal128(20, 0)).dictionary_encode()
    assert payloads(tmp_path, numbers) == [2**60, None]
    assert payloads(tmp_path, pa.array([b"s", None]).dictionary_encode()) == ["s", None]


def test_extension_types_inside_others_are_what_they_are_alone(tmp_path: Path) -> None:
    kind = pa.json_()
    parts = {
        "u": uuids(),
        "on": pa.array([DAY, None]),
        "j": pa.ExtensionArray.from_storage(kind, pa.array(['{"n": 1}', None])),
        "b": pa.array([b"s", None]),
        "n": pa.array([decimal.Decimal(7), None], pa.decimal128(5, 0)),
    }
    records = pa.StructArray.from_arrays([*parts.values()], [*parts])
    lists = pa.ListArray.from_arrays([0, 1, 2], records)
    first = {"u": str(NUMBER), "on": "2020-02-29", "j": {"n": 1}, "b": "s", "n": 7}
    nothing = dict.fromkeys(first)
    assert payloads(tmp_path, records) == [first, nothing]
    assert payloads(tmp_path, lists) == [[first], [nothing]]


def test_json_that_isnt_is_a_reject(tmp_path: Path) -> None:
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", "{"]))
    passages, [reject] = read_with_rejects(
        parquet(tmp_path / "c.parquet", {"id": ["1", "2"], "text": ["t", "t"], "v": texts})
    )
    assert [passage.payload for passage in passages] == [{"v": {}}]
    assert "column 'v': declared as JSON, and isn't" in reject.reason


def test_uuids_and_json_are_known_where_arrow_gives_their_bytes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"id": uuids().drop_null(), "text": ["t"], "v": uuids().drop_null()}
    columns["j"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1]"]))
    file = parquet(tmp_path / "c.parquet", columns, store_schema=False)
    opened = pq.ParquetFile

    def older(*args: Any, **options: Any) -> pq.ParquetFile:
        options["arrow_extensions_enabled"] = False  # the stubs don't know it
        return opened(*args, **options)

    monkeypatch.setattr(pq, "ParquetFile", older)
    assert older(file).schema_arrow.field("id").type == pa.binary(16)
    assert read(file) == [Passage(str(NUMBER), "t", None, {"v": str(NUMBER), "j": [1]})]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([NUMBER.bytes], pa.uuid()), str(NUMBER)),
        (pa.array([decimal.Decimal(10**30)], pa.decimal128(38, 0)), str(10**30)),
        (pa.array([b"a"]), "a"),
        (pa.array(["a"]).dictionary_encode(), "a"),
    ],
)
def test_ids_of_many_types_are_the_strings_that_people_write(tmp_path: Path, ids: Any, expected: str) -> None:
    file = parquet(tmp_path / "c.parquet", {"ID": ids, "TEXT": pa.array([b"t"]), "Title": ["T"]})
    assert read(file) == [Passage(expected, "t", "T")]


def test_a_decimal_never_becomes_a_float_that_makes_two_values_one(tmp_path: Path) -> None:
    values = [decimal.Decimal(1234567890123456789), decimal.Decimal(1234567890123456790), decimal.Decimal(2**64)]
    columns = {"id": ["1", "2", "3"], "text": ["t"] * 3, "n": pa.array(values, pa.decimal128(38, 0))}
    passages, [reject] = read_with_rejects(parquet(tmp_path / "c.parquet", columns))
    assert [passage.payload["n"] for passage in passages] == [1234567890123456789, 1234567890123456790]
    assert "payload field 'n' is 18446744073709551616, which doesn't fit a 64-bit integer" in reject.reason


def test_what_json_cant_say_is_null_and_costs_no_passage(tmp_path: Path) -> None:
    columns = {"id": [1, 2], "text": ["t", "t"], "n": [1.5, NAN], "list": [[0.5], [1.0, float("inf"), NAN]]}
    with open_sources([parquet(tmp_path / "c.parquet", columns)]) as reader:
        assert [passage.payload for passage in reader] == [
            {"n": 1.5, "list": [0.5]},
            {"n": None, "list": [1.0, None, None]},
        ]
        assert (reader.nulled, reader.rejected) == (3, 0)


def test_columns_can_be_chosen_and_left_out(tmp_path: Path) -> None:
    columns = {
        "id": ["1"], "text": ["t"], "title": ["T"], "year": [2000], "image": [b"\x89"], "a.b": [1],
        "meta": [{"lang": "en", "n": 1, "bytes": "b"}],
    }  # fmt: skip
    file = parquet(tmp_path / "c.parquet", columns)

    def payload(**options: Any) -> Any:
        return read(file, fields=SourceFields(**options))[0].payload

    with pytest.raises(SourceError, match="--drop image"):
        payload()
    assert payload(drop=("image", "meta.bytes")) == {"year": 2000, "a.b": 1, "meta": {"lang": "en", "n": 1}}
    assert payload(fields=("year", "a.b")) == {"year": 2000, "a.b": 1}
    assert payload(fields=("meta.lang",)) == {"meta": {"lang": "en"}}
    assert payload(fields=()) == {}
    assert read(file, fields=SourceFields(drop=("image", "title")))[0].title is None
    with pytest.raises(MissingFieldError, match=r"no column 'yaer'.*--fields"):
        payload(fields=("yaer",))


def test_an_encoding_that_pyarrow_doesnt_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: Any, **__: Any) -> None:
        raise pa.ArrowNotImplementedError("Unhandled type")

    monkeypatch.setattr(pq, "ParquetFile", unable)
    with pytest.raises(SourceError, match=r"a column has a type or an encoding that pyarrow .* --drop NAME"):
        open_sources([parquet(tmp_path / "c.parquet", {"id": [1]})])


@pytest.mark.parametrize("dictionary", [True, False])
def test_batches_are_bounded_by_bytes_however_the_texts_are_encoded(tmp_path: Path, dictionary: bool) -> None:
    texts = [f"{n % 3} " + "word " * 200_000 for n in range(60)]
    columns = {"id": [*range(60)], "text": texts}
    # Arrow's writer makes a page of 1,024 rows, however long they are, and no reader can undo a part of one.
    options = {"use_dictionary": dictionary, "compression": "zstd", "write_batch_size": 4}
    file = parquet(tmp_path / "c.parquet", columns, **options)
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    with open_sources([file]) as reader:
        most = max(pool.bytes_allocated() - before for _ in reader)
    assert most < 40 * 2**20
