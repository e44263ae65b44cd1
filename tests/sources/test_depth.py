"""However deep an input is nested, it ends as a reject or an error with a reason, never in a traceback."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import MissingFieldError, SourceError
from tasb_qdrant.sources import SourceFields, open_sources
from tests.sources.corpus import read, read_with_rejects, write

GOOD = '{"id": "good", "text": "t"}\n'
DEPTHS = [33, 600, 1000, 5000]


def nested(depth: int, inner: str = "1", *, kind: str = "object") -> str:
    start, end = ('{"a":', "}") if kind == "object" else ("[", "]")
    return start * depth + inner + end * depth


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", ["object", "array"])
@pytest.mark.parametrize(
    "record",
    [
        '{{"id": "deep", "text": "t", "x": {deep}}}',
        '{{"id": "deep", "text": "t", "big": 1180591620717411303424, "x": {deep}}}',
        '{{"id": "deep", "text": "t", "x": {deep}, "big": 1180591620717411303424}}',
        '{{"id": {deep}, "text": "t"}}',
        '{{"id": "deep", "text": {deep}}}',
        "{deep}",
    ],
)
def test_a_deep_line_is_a_reject_and_the_next_is_read(tmp_path: Path, depth: int, kind: str, record: str) -> None:
    line = record.format(deep=nested(depth, kind=kind))
    orders = [f"{GOOD}{line}\n"]
    if not line.startswith("["):  # a file that begins so is one JSON array, and refused as such
        orders.append(f"{line}\n{GOOD}")
    for order in orders:
        passages, rejects = read_with_rejects(write(tmp_path / "c.jsonl", order))
        assert [passage.id for passage in passages] == ["good"]
        (reject,) = rejects
        assert reject.reason


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_metadata_that_repeats_a_field_is_a_reject(tmp_path: Path, depth: int) -> None:
    deep = nested(depth)
    line = f'{{"_id": "deep", "text": "t", "x": {deep}, "metadata": {{"x": {deep}}}}}\n'
    passages, (reject,) = read_with_rejects(write(tmp_path / "c.jsonl", line + GOOD.replace("id", "_id")))
    assert ([passage.id for passage in passages], reject.line) == (["good"], 1)


@pytest.mark.parametrize("value", ["1180591620717411303424", '"\\ud800"'])
def test_metadata_that_repeats_a_field_with_what_cant_be_stored_is_a_reject(tmp_path: Path, value: str) -> None:
    line = f'{{"_id": "1", "text": "t", "n": 1e30, "x": {value}, "metadata": {{"x": {value}}}}}\n'
    _, (reject,) = read_with_rejects(write(tmp_path / "c.jsonl", line + GOOD.replace("id", "_id")))
    assert reject.reason


@pytest.mark.parametrize("depth", [33, 600, 1000])
def test_the_fields_of_a_deep_record_are_listed_as_far_as_they_can_be_named(tmp_path: Path, depth: int) -> None:
    file = write(tmp_path / "c.jsonl", f'{{"x": {nested(depth)}}}\n')
    with pytest.raises(MissingFieldError, match=r"no field 'id'; the fields are: x\.a\.a"):
        open_sources([file])
    with pytest.raises(MissingFieldError):
        open_sources([file], fields=SourceFields(id="x" + ".a" * depth, text="y"))


def test_a_number_beyond_64_bits_is_found_at_any_depth_that_can_be_stored(tmp_path: Path) -> None:
    deepest = nested(31, "18446744073709551616")
    for line in (
        f'{{"id": "1", "text": "t", "x": {deepest}}}\n',
        f'{{"_id": "1", "text": "t", "metadata": {{"x": {deepest}}}}}\n',
    ):
        _, (reject,) = read_with_rejects(write(tmp_path / "c.jsonl", line))
        assert "is 18446744073709551616, which doesn't fit a 64-bit integer" in reject.reason


@pytest.mark.parametrize(
    ("depth", "message"), [(33, "the column 'x' is nested deeper than 32"), (45, "deeper than 32"), (200, "nested")]
)
def test_a_column_of_parquet_too_deep_for_any_payload_is_named(tmp_path: Path, depth: int, message: str) -> None:
    kind: pa.DataType = pa.int64()
    for level in range(depth):
        kind = pa.struct([pa.field("a", kind)]) if level % 2 else pa.list_(kind)
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("x", kind)])
    file = tmp_path / "c.parquet"
    pq.write_table(schema.empty_table(), file)
    with pytest.raises(SourceError, match=message):
        read(file)
