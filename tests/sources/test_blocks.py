"""Sources in blocks: read one by one, in any process, they give what the whole source gives."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.sources import SourceFields, SourceReader, open_sources
from tasb_qdrant.sources.blocks import LineFormat, line_pieces
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES
from tasb_qdrant.sources.msmarco_tsv import read_msmarco

Row = tuple[str, int, Passage]

LINES = [
    b'{"id":"a","text":"one","year":2020,"extra":NaN}',
    b"",
    b'{"id":"b","text":"two \xc3\xa9","title":"T","year":"2021"}\r',
    b"{bad",
    b"   ",
    b'\xef\xbb\xbf{"id":"c","text":"a mark in the middle"}',
    b'{"id":7.0,"text":"a whole float"}',
    b'{"id":"d","text":"\xff"}',
    b"[1]",
    b'{"id":"e","text":"last","deep":{"x":[1,2.5,null,123456789012345678901]}}',
]


def _whole(names: Iterable[Path], **options: Any) -> tuple[list[Row], list[Reject], SourceReader]:
    rejects: list[Reject] = []
    with open_sources(list(names), on_reject=rejects.append, **options) as reader:
        return [(reader.source, reader.line, passage) for passage in reader], rejects, reader


def _in_blocks(names: Iterable[Path], **options: Any) -> tuple[list[Row], list[Reject], SourceReader]:
    """The same as another process would read it."""
    rejects: list[Reject] = []
    rows: list[Row] = []
    with open_sources(list(names), **options) as reader:
        formats, choice = pickle.loads(pickle.dumps((reader.block_formats, reader.choice)))
        for block in reader.blocks():
            cursor = Cursor(rejects.append)
            cursor.source = reader.names[block.source]
            data = pickle.loads(pickle.dumps(block.data))
            for passage in formats[block.source].passages(data, cursor, before=block.before):
                rows.append((cursor.source, cursor.line, passage))
            reader.read_elsewhere(
                nulled=cursor.nulled,
                whole_ids=cursor.whole_ids,
                converted=cursor.converted,
                unseen=choice.unseen if choice else (),
            )
        return rows, rejects, reader


def _counts(reader: SourceReader) -> tuple[object, ...]:
    return reader.nulled, reader.whole_ids, reader.converted, reader.unseen_fields, reader.bytes_read


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few lines."""
    assert line_pieces.__kwdefaults__ is not None
    monkeypatch.setitem(line_pieces.__kwdefaults__, "size", 60)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson"])
def test_lines_of_json(tmp_path: Path, name: str) -> None:
    data = b"\xef\xbb\xbf" + b"\n".join(LINES * 3)
    one, two = tmp_path / name, tmp_path / f"other-{name}"
    one.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    two.write_bytes(gzip.compress(data + b"\n\n") if name.endswith("gz") else data + b"\n\n")
    options: dict[str, Any] = {
        "fields": SourceFields(fields=("year", "extra", "deep.x", "nowhere")),
        "column_types": {"year": "integer"},
    }
    rows, rejects, reader = _whole([one, two], **options)
    found, found_rejects, other = _in_blocks([one, two], **options)
    assert found == rows
    assert found_rejects == rejects
    assert len(rows) == 18
    assert len(rejects) == 30
    assert _counts(other) == _counts(reader)
    assert reader.nulled
    assert reader.converted


@pytest.mark.usefixtures("small_blocks")
def test_ids_made_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(b'{"text":"number %d"}\n' % number for number in range(40)))
    assert (
        _in_blocks([file], fields=SourceFields(id_from="row"))[0]
        == _whole([file], fields=SourceFields(id_from="row"))[0]
    )


def test_lines_that_are_too_long(tmp_path: Path) -> None:
    long = b'{"id":"long","text":"' + b"a" * MAX_LINE_BYTES + b'"}'
    for lines in ([LINES[0], long, LINES[2]], [LINES[0], long]):
        file = tmp_path / "a.jsonl"
        file.write_bytes(b"\n".join(lines))
        rows, rejects, _ = _whole([file])
        assert _in_blocks([file])[:2] == (rows, rejects)
        assert len(rejects) == 1


@pytest.mark.parametrize("cut", [20, 0])
def test_a_stream_that_ends_early_says_where(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "a.jsonl.gz"
    data = gzip.compress(b"".join(b'{"id":"%d","text":"number %d"}\n' % (n, n) for n in range(3_000)))
    file.write_bytes(data[: len(data) - cut] if cut else data + b"junk")
    errors = []
    for read in (_whole, _in_blocks):
        with pytest.raises(SourceError) as caught:
            read([file])
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_rows_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": list(range(3_000)),
            "text": [f"number {n}" if n % 7 else "" for n in range(3_000)],
            "when": pa.array(range(3_000), pa.timestamp("us")),
            "tags": [["a", "b"][: n % 3] for n in range(3_000)],
        }
    )
    one, two = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(table, one, row_group_size=1_100)
    pq.write_table(table.slice(0, 10), two)
    rows, rejects, reader = _whole([one, two])
    found, found_rejects, other = _in_blocks([one, two])
    assert (found, found_rejects) == (rows, rejects)
    assert len(rejects) == 431
    assert _counts(other) == _counts(reader)


def test_what_can_not_be_read_in_blocks_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\na,"two\nlines"\n')
    (tmp_path / "b.json").write_text('[{"id":"a","text":"b"}]')
    (tmp_path / "c.jsonl").write_text('{"id":"a","text":"b"}\n')
    for names in (["a.csv"], ["b.json"], ["c.jsonl", "a.csv"]):
        with open_sources([tmp_path / name for name in names]) as reader:
            assert reader.block_formats is None
    with open_sources([tmp_path / "c.jsonl"]) as reader:
        assert reader.block_formats is not None


def _pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


@given(
    st.lists(
        st.sampled_from([b"1\tone", b"2\t\xc3\xa9", b"", b"\xef\xbb\xbf3\tx", b"no tab", b"4\ty\r", b" "]), max_size=30
    ),
    st.booleans(),
    st.lists(st.integers(1, 9), max_size=60),
    st.integers(1, 40),
)
def test_however_the_bytes_arrive(lines: list[bytes], ended: bool, sizes: list[int], size: int) -> None:
    data = b"\n".join(lines) + b"\n" * ended
    whole: list[Reject] = []
    cursor = Cursor(whole.append)
    expected = [(cursor.line, passage) for passage in read_msmarco(_pieces(data, sizes), cursor, {})]
    rejects: list[Reject] = []
    found = []
    before = 0
    for block, count in line_pieces(_pieces(data, sizes), source="", size=size):
        cursor = Cursor(rejects.append)
        found += [(cursor.line, one) for one in LineFormat("msmarco").passages(block, cursor, before=before)]
        before += count
    assert found == expected
    assert rejects == whole
