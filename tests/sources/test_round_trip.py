import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.records import Passage
from tasb_qdrant.sources import TextOptions, open_sources
from tests.sources.corpus import COMPRESSIONS, json_lines, with_lines

STORABLE = st.characters(codec="utf-8", exclude_characters="\x00")
TEXTS = st.text(STORABLE, min_size=1).filter(lambda text: not text.isspace())
IDS = st.one_of(TEXTS, st.integers(0, 2**65).map(str), st.uuids().map(str))
TITLES = st.none() | st.text(STORABLE, min_size=1)
NAMES = st.text(STORABLE, min_size=1).filter(lambda name: name not in {"_id", "text", "title", "metadata"})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(STORABLE)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=5)
JSON_PASSAGES = st.lists(st.builds(Passage, IDS, TEXTS, TITLES, st.dictionaries(NAMES, VALUES, max_size=3)))
FLAT_PASSAGES = st.lists(
    st.builds(Passage, IDS, TEXTS, TITLES, st.fixed_dictionaries({"lang": st.text(STORABLE), "x y": st.text(STORABLE)}))
)
ONE_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\x00\t\n\r"), min_size=1).filter(
    lambda text: not text.isspace()
)
BARE_PASSAGES = st.lists(st.builds(Passage, ONE_LINE.filter(lambda text: text[0] != "\ufeff"), ONE_LINE))

compressions = pytest.mark.parametrize("compression", COMPRESSIONS)


def read_packed(data: bytes, compression: str, file_format: str) -> list[tuple[int, Passage]]:
    stdin = io.BytesIO(COMPRESSIONS[compression](data))
    with open_sources(["-"], format=file_format, stdin=stdin, options=TextOptions(typed=False)) as reader:
        return with_lines(reader)


@compressions
@given(passages=BARE_PASSAGES)
@settings(max_examples=40, deadline=None)
def test_msmarco_reads_back_equal_and_in_order(compression: str, passages: list[Passage]) -> None:
    data = "".join(f"{passage.id}\t{passage.text}\n" for passage in passages).encode()
    assert read_packed(data, compression, "msmarco") == list(enumerate(passages, start=1))


@compressions
@given(passages=JSON_PASSAGES)
@settings(max_examples=40, deadline=None)
def test_jsonl_reads_back_equal_and_in_order(compression: str, passages: list[Passage]) -> None:
    data = json_lines(*({"_id": p.id, "text": p.text, "title": p.title, **p.payload} for p in passages))
    assert read_packed(data, compression, "jsonl") == list(enumerate(passages, start=1))


@compressions
@pytest.mark.parametrize(("file_format", "delimiter"), [("csv", ","), ("tsv", "\t")])
@given(passages=FLAT_PASSAGES, line_end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=40, deadline=None)
def test_csv_and_tsv_read_back_equal_and_in_order(
    compression: str, file_format: str, delimiter: str, passages: list[Passage], line_end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=line_end)
    writer.writerow(["lang", "id", "title", "text", "x y"])
    expected = []
    for passage in passages:
        expected.append((text.getvalue().count("\n") + 1, passage))
        own = passage.payload
        writer.writerow([own["lang"], passage.id, passage.title or "", passage.text, own["x y"]])
    assert read_packed(text.getvalue().encode(), compression, file_format) == expected


@given(passages=FLAT_PASSAGES, numbers=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), rows=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_parquet_reads_back_equal_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, passages: list[Passage], numbers: list[int | None], rows: int
) -> None:
    expected = [
        Passage(passage.id, passage.text, passage.title, {**passage.payload, "n": number, "list": [number]})
        for passage, number in zip(passages, numbers, strict=False)
    ]
    strings: list[tuple[str, pa.DataType]] = [(name, pa.string()) for name in ("id", "text", "title", "lang", "x y")]
    schema = pa.schema([*strings, ("n", pa.int64()), ("list", pa.list_(pa.int64()))])
    records: list[dict[str, Any]] = [
        {"id": passage.id, "text": passage.text, "title": passage.title, **passage.payload} for passage in expected
    ]
    file: Path = tmp_path_factory.mktemp("round") / "c.parquet"
    pq.write_table(pa.Table.from_pylist(records, schema), file, row_group_size=rows)
    with open_sources([file]) as reader:
        assert with_lines(reader) == list(enumerate(expected, start=1))
