"""A footer's own numbers are read as Arrow reads them, and no footer ends the process."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.sources import open_sources
from tasb_qdrant.sources.arrow.footer import Chunk, RowGroup, read_footer, row_groups
from tasb_qdrant.sources.arrow.parquet import ParquetSource
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.record.fields import SourceFields
from tasb_qdrant.sources.record.plan import Origin

ROWS: Final = 40


def _written(**options: Any) -> bytes:
    columns = {
        "id": [str(number) for number in range(ROWS)],
        "text": ["bee owl"] * ROWS,
        "tags": [["a", "b"]] * ROWS,
        "nested": [{"a": number, "b": [{"c": None}]} for number in range(ROWS)],
        "sound": [True] * ROWS,
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def read_row_groups(file: io.BytesIO) -> list[RowGroup]:
    return row_groups(read_footer(file))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 7, "write_page_index": True, "compression": "zstd"},
        {"use_dictionary": False, "write_statistics": False},
        {"use_dictionary": ["text"], "data_page_version": "2.0", "row_group_size": 1},
    ],
    ids=["plain", "an index of pages", "without statistics", "many row groups"],
)
def test_the_numbers_are_those_that_arrow_reads(options: dict[str, Any]) -> None:
    data = _written(**options)
    metadata = pq.read_metadata(io.BytesIO(data))
    groups = read_row_groups(io.BytesIO(data))
    assert [group.rows for group in groups] == [metadata.row_group(at).num_rows for at in range(len(groups))]
    assert len(groups) == metadata.num_row_groups
    for number, group in enumerate(groups):
        theirs = [metadata.row_group(number).column(at) for at in range(metadata.num_columns)]
        sizes = [(each.total_compressed_size, each.total_uncompressed_size) for each in theirs]
        expected = [Chunk(*pair, each.has_dictionary_page) for pair, each in zip(sizes, theirs, strict=True)]
        assert list(group.chunks) == expected


def test_a_footer_longer_than_one_read_is_read_whole() -> None:
    data = _written(row_group_size=1, use_dictionary=False)
    many = pa.table({f"column {number}": [1] * ROWS for number in range(40)})
    file = io.BytesIO()
    pq.write_table(many, file, row_group_size=1)
    assert int.from_bytes(file.getvalue()[-8:-4], "little") > 2**16
    assert [len(group.chunks) for group in read_row_groups(file)] == [40] * ROWS
    assert len(read_row_groups(io.BytesIO(data))) == ROWS


def test_columns_that_are_not_read_are_left_out() -> None:
    footer = read_footer(io.BytesIO(_written(row_group_size=7)))
    whole, part = row_groups(footer), row_groups(footer, {1, 4})
    assert len(part) == len(whole) > 1
    for group, cut in zip(whole, part, strict=True):
        expected = [chunk if number in (1, 4) else Chunk() for number, chunk in enumerate(group.chunks)]
        assert (cut.rows, list(cut.chunks)) == (group.rows, expected)


def test_a_footer_is_read_once_for_all_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasb_qdrant.sources.arrow import parquet

    read: list[bytes] = []

    def counted(footer: bytes, columns: Any) -> list[RowGroup]:
        read.append(footer)
        return row_groups(footer, columns)

    monkeypatch.setattr(parquet, "row_groups", counted)
    path = tmp_path / "a.parquet"
    path.write_bytes(_written())
    source = ParquetSource(path, SourceFields(), origin=Origin("a.parquet"), choice=None)
    for _ in range(3):
        assert sum(1 for _ in source.passages(Cursor(None))) == ROWS
    assert len(read) == 1
    path.write_bytes(_written(row_group_size=7))
    assert sum(1 for _ in source.passages(Cursor(None))) == ROWS
    assert len(read) == 2  # another file has taken its place


def test_a_damaged_footer_is_read_or_refused_and_ends() -> None:
    data = _written()
    size = int.from_bytes(data[-8:-4], "little")
    chance = random.Random(13)
    for cut in range(0, size, 3):
        with pytest.raises(ValueError, match="footer"):
            read_row_groups(io.BytesIO(data[: len(data) - 8 - cut]))
    for _ in range(2_000):
        damaged = bytearray(data)
        damaged[len(data) - 8 - chance.randint(1, size)] = chance.randrange(256)
        try:
            read_row_groups(io.BytesIO(bytes(damaged)))
        except ValueError as error:
            assert "footer" in str(error)  # noqa: PT017  # most are read: bytes of statistics and names


def _read(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    with open_sources([path], on_reject=lambda _: None) as source:
        return sum(1 for _ in source)


def _is_read_or_named(path: Path, data: bytes) -> None:
    """Which of the two is up to the version of Arrow."""
    try:
        assert _read(path, data) == ROWS
    except SourceError as error:
        assert "not a valid Parquet file" in str(error)  # noqa: PT017  # it may be read, too


def test_a_footer_that_contradicts_itself_does_not_end_the_process(tmp_path: Path) -> None:
    """The members of the list can't be null, as its schema says now, and its histogram of levels counts nulls."""
    data = _written()
    optional, required = b"\x25\x02\x18\x07element", b"\x25\x00\x18\x07element"
    assert data.count(optional) >= 1
    _is_read_or_named(tmp_path / "a.parquet", data.replace(optional, required))


def test_a_column_that_is_called_otherwise_in_a_row_group_is_read_or_named(tmp_path: Path) -> None:
    data = _written()
    at = data.rindex(b"sound")
    _is_read_or_named(tmp_path / "a.parquet", data[:at] + b"\xff\xfe\xf2nd" + data[at + 5 :])


def test_a_row_group_without_one_of_the_columns_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasb_qdrant.sources.arrow import parquet

    whole = read_row_groups(io.BytesIO(_written()))
    monkeypatch.setattr(parquet, "row_groups", lambda *_: [type(whole[0])(ROWS, whole[0].chunks[1:])])
    with pytest.raises(SourceError, match="other columns than its schema"):
        _read(tmp_path / "a.parquet", _written())
