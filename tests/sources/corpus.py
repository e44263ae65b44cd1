"""Ways to write passages, and short ways to read them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import SourceFields, SourceReader, TextOptions, open_sources

COMPRESSIONS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def json_lines(*records: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(
    *sources: str | Path,
    file_format: str | None = None,
    fields: SourceFields | None = None,
    column_types: Mapping[str, IndexType] | None = None,
    stdin: bytes | None = None,
    options: TextOptions | None = None,
) -> list[Passage]:
    """Every passage; a reject raises."""
    with open_sources(
        sources,
        format=file_format,
        fields=fields or SourceFields(),
        options=options or TextOptions(),
        column_types=column_types,
        stdin=None if stdin is None else io.BytesIO(stdin),
    ) as reader:
        return list(reader)


def read_with_rejects(
    *sources: str | Path,
    file_format: str | None = None,
    column_types: Mapping[str, IndexType] | None = None,
    fields: SourceFields | None = None,
) -> tuple[list[Passage], list[Reject]]:
    """Every passage and every reject."""
    rejects: list[Reject] = []
    with open_sources(
        sources,
        format=file_format,
        on_reject=rejects.append,
        column_types=column_types,
        fields=fields or SourceFields(),
    ) as reader:
        passages = list(reader)
        assert reader.rejected == len(rejects)
    return passages, rejects


def with_lines(reader: SourceReader) -> list[tuple[int, Passage]]:
    return [(reader.line, passage) for passage in reader]
