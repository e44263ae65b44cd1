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
from tests.sources.corpus import read, read_with_rejects, with_lines, write

DAY = datetime.date(2020, 2, 29)
MOMENT = datetime.datetime(2020, 2, 29, 12, 30, 15, 250_000)  # noqa: DTZ001 - a time without a zone is the case
NUMBER = uuid.UUID("12345678-90ab-cdef-1234-567890abcdef")
KATHMANDU = datetime.timezone(datetime.timedelta(hours=5, minutes=45))


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def one(path: Path, value: Any, kind: pa.DataType) -> Any:
    """What a payload column of the type gives for the value."""
    file = parquet(path / "c.parquet", {"id": ["1", "2"], "text": ["t", "t"], "v": pa.array([value, None], kind)})
    first, second = read(file)
    assert second.payload == {"v": None}
    return first.payload["v"]


def test_other_columns_are_payload_with_their_types(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "c.parquet",
        {"id": [7, 8], "text": ["a", "b"], "title": ["T", ""], "year": [2020, None], "ok": [True, False]},
    )
    with open_sources([file]) as reader:
        assert with_lines(reader) == [
            (1, Passage("7", "a", "T", {"year": 2020, "ok": True})),
            (2, Passage("8", "b", None, {"year": None, "ok": False})),
        ]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (-7, pa.int8(), -7),
        (2**63 - 1, pa.uint64(), 2**63 - 1),
        (0.5, pa.float16(), 0.5),
        (0.5, pa.float32(), 0.5),
        (1e300, pa.float64(), 1e300),
        (True, pa.bool_(), True),
        ("s", pa.large_string(), "s"),
        ("s", pa.string_view(), "s"),
        ("s", pa.dictionary(pa.int8(), pa.string()), "s"),
        (decimal.Decimal("1.25"), pa.decimal128(10, 2), 1.25),
        (decimal.Decimal("5.00"), pa.decimal128(10, 2), 5.0),
        (decimal.Decimal("90071992547409931"), pa.decimal128(38, 0), 90071992547409931),
        (decimal.Decimal("90071992547409931"), pa.decimal256(50, 0), 90071992547409931),
        (datetime.time(10, 0, 1), pa.time32("s"), "10:00:01"),
        (datetime.time(10, 0, 1, 5000), pa.time64("us"), "10:00:01.005000"),
        (datetime.timedelta(minutes=1, milliseconds=500), pa.duration("ms"), 60.5),
        (b"s", pa.binary(), "s"),
        (b"s", pa.large_binary(), "s"),
        (NUMBER, pa.uuid(), str(NUMBER)),
        ('{"a": [1, null]}', pa.json_(), {"a": [1, None]}),
        ("s", pa.opaque(pa.string(), "x", "y"), "s"),
        (b"s", pa.dictionary(pa.int8(), pa.binary()), "s"),
        (DAY, pa.date32(), "2020-02-29"),
        (DAY, pa.date64(), "2020-02-29"),
        (MOMENT, pa.timestamp("us"), "2020-02-29T12:30:15.250000Z"),
        (MOMENT, pa.timestamp("ms"), "2020-02-29T12:30:15.250Z"),
        (datetime.datetime(1900, 1, 1), pa.timestamp("s"), "1900-01-01T00:00:00Z"),  # noqa: DTZ001
        (1, pa.timestamp("ns"), "1970-01-01T00:00:00.000000001Z"),
        (-1, pa.timestamp("ns"), "1969-12-31T23:59:59.999999999Z"),
        (MOMENT.replace(tzinfo=KATHMANDU), pa.timestamp("us", "Asia/Kathmandu"), "2020-02-29T06:45:15.250000Z"),
        (["a", None], pa.list_(pa.string()), ["a", None]),
        ([DAY, None], pa.large_list(pa.date32()), ["2020-02-29", None]),
        ([1, 2], pa.list_(pa.int64(), 2), [1, 2]),
        ({"lon": 1.5, "lat": 2.5}, pa.struct([("lon", pa.float64()), ("lat", pa.float64())]), {"lon": 1.5, "lat": 2.5}),
        ({"a": {"on": DAY}}, pa.struct([("a", pa.struct([("on", pa.date32())]))]), {"a": {"on": "2020-02-29"}}),
        ([("k", 1), ("m", None)], pa.map_(pa.string(), pa.int64()), {"k": 1, "m": None}),
        ([(5, DAY)], pa.map_(pa.int32(), pa.date32()), {"5": "2020-02-29"}),
        ([("k", DAY)], pa.map_(pa.string(), pa.date32()), {"k": "2020-02-29"}),
    ],
)  # fmt: skip
def test_arrow_types_become_jsons(tmp_path: Path, value: Any, kind: pa.DataType, expected: Any) -> None:
    found = one(tmp_path, value, kind)
    assert (found, type(found)) == (expected, type(expected))


def test_a_column_of_nulls_is_null(tmp_path: Path) -> None:
    assert one(tmp_path, None, pa.null()) is None


def test_fields_are_found_inside_structs(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "c.parquet",
        {"meta": [{"id": 1, "n": 5}], "doc": [{"body": "b"}], "a.b": ["title"]},
    )
    fields = SourceFields(id="meta.id", text="doc.body", title="a.b")
    assert read(file, fields=fields) == [Passage("1", "b", "title", {"meta": {"n": 5}})]


def test_beir_in_parquet_reads_as_in_json(tmp_path: Path) -> None:
    file = parquet(tmp_path / "c.parquet", {"_id": ["1"], "text": ["t"], "metadata": [{"year": 2020}]})
    assert read(file) == [Passage("1", "t", None, {"year": 2020})]


def test_missing_columns_are_an_error_at_once_that_lists_those_there_are(tmp_path: Path) -> None:
    file = parquet(tmp_path / "c.parquet", {"key": [1], "doc": [{"abstract": "a"}]})
    with pytest.raises(MissingFieldError, match="--id-field") as missing:
        open_sources([file])
    assert missing.value.available == ("key", "doc.abstract")
    with pytest.raises(MissingFieldError, match=r"'nope'.*--text-field"):
        open_sources([file], fields=SourceFields(id="key", text="nope"))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": pa.array([1.5], pa.float32()), "text": ["t"]}, "'id' has the type float, expected strings, whole numbers or UUIDs"),
        ({"id": [True], "text": ["t"]}, "'id' has the type bool"),
        ({"id": ["1"], "text": [1]}, "'text' has the type int64, expected strings"),
        ({"id": ["1"], "text": ["t"], "title": [1]}, "'title' has the type int64, expected strings"),
        ({"id": ["1"], "text": ["t"], "image": [b"\x89"]}, "'image' has the type binary and holds bytes.*--drop image"),
        ({"id": ["1"], "text": ["t"], "x": [{"image": b"\x89"}]}, "'x' has the type struct.*holds bytes.*--drop x"),
        ({"id": ["1"], "text": ["t"], "x": pa.array([b"ab"], pa.binary(2))}, r"'x' has the type fixed_size_binary\[2\].*--drop x"),
        ({"id": ["1"], "text": ["t"], "x": pa.array([[(0.5, 2)]], pa.map_(pa.float64(), pa.int64()))}, "'x' has the type map.*--drop x"),
        ({"id": ["1"], "text": ["t"], "": [1]}, "'' is empty or repeated"),
    ],
)  # fmt: skip
def test_a_column_that_no_payload_can_hold_is_an_error_at_once(
    tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        open_sources([parquet(tmp_path / "c.parquet", columns)])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"id": None}, "the id (field 'id') is null"),
        ({"id": ""}, "the id is empty"),
        ({"text": None}, "the text (field 'text') is null"),
        ({"text": " "}, "the text is empty"),
        ({"text": "a\x00"}, "the text has a NUL character"),
    ],
)
def test_a_bad_row_is_rejected_with_its_number(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    good = {"id": "1", "text": "t", "x": 0.5}
    rows = [good, {**good, **bad}, good]
    file = parquet(tmp_path / "c.parquet", {name: [row[name] for row in rows] for name in good})
    passages, [reject] = read_with_rejects(file)
    assert len(passages) == 2
    assert reject.line == 2
    assert reason in reject.reason


def test_a_value_that_python_cant_hold_rejects_its_row_alone(tmp_path: Path) -> None:
    broken = pa.array([b"fine", b"\xff", b"fine"]).view(pa.string())
    far = pa.array([0, 0, 2**60], pa.timestamp("ms"))
    file = parquet(tmp_path / "c.parquet", {"id": ["1", "2", "3"], "text": broken, "at": far})
    passages, rejects = read_with_rejects(file)
    assert [passage.id for passage in passages] == ["1"]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (2, "column 'text': invalid UTF-8 at byte offset 0 of a string"),
        (3, "column 'at': a date is outside the years 1 to 9999"),
    ]


def test_rows_are_numbered_across_row_groups_and_progress_reaches_the_files_size(tmp_path: Path) -> None:
    numbers = list(range(5000))
    file = parquet(tmp_path / "c.parquet", {"id": numbers, "text": ["t"] * 5000}, row_group_size=700)
    with open_sources([file]) as reader:
        seen = [(reader.line, passage.id, reader.bytes_read) for passage in reader]
        assert reader.bytes_read == reader.bytes_total == file.stat().st_size
    assert [(line, number) for line, number, _ in seen] == [(n + 1, str(n)) for n in numbers]
    assert seen[0][2] < seen[2500][2] < seen[-1][2]


def test_a_file_that_isnt_parquet_or_is_cut_short_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a valid Parquet file"):
        open_sources([write(tmp_path / "a.parquet", "id,text\n")])
    with pytest.raises(SourceError, match="not a valid Parquet file"):
        open_sources([write(tmp_path / "b.parquet", b"")])
    whole = parquet(tmp_path / "c.parquet", {"id": [1], "text": ["t"]}).read_bytes()
    with pytest.raises(SourceError, match="not a valid Parquet file"):
        open_sources([write(tmp_path / "d.parquet", whole[:-20])])


def test_damaged_pages_are_an_error_that_names_the_row_reached(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(5000)]
    file = parquet(
        tmp_path / "c.parquet",
        {"id": list(range(5000)), "text": texts},
        row_group_size=2048, compression="zstd", use_dictionary=False,
    )  # fmt: skip
    data = bytearray(file.read_bytes())
    column = pq.ParquetFile(file).metadata.row_group(1).column(1)
    start = column.data_page_offset
    data[start + 40 : start + 400] = b"\xff" * 360
    write(file, bytes(data))
    ids: list[str] = []
    with open_sources([file]) as reader, pytest.raises(SourceError, match="not a valid Parquet file") as damage:
        ids.extend(passage.id for passage in reader)
    assert damage.value.line == 2049


def test_parquet_cant_come_through_a_pipe() -> None:
    with pytest.raises(SourceError, match=r"<stdin>: Parquet .* can't come through a pipe"):
        read("-", file_format="parquet", stdin=b"PAR1")


def test_a_parquet_file_under_another_name_is_recognised_as_a_mistake(tmp_path: Path) -> None:
    file = parquet(tmp_path / "c.jsonl", {"id": [1], "text": ["t"]})
    with pytest.raises(SourceError, match="give --format parquet"):
        open_sources([file])
    assert read(file, file_format="parquet") == [Passage("1", "t")]
