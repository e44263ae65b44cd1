"""A small Parquet file that would take much memory is refused by the name of its column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.sources import open_sources
from tasb_qdrant.sources.arrow import parquet


def test_a_column_that_grows_a_thousandfold_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_MUCH_BYTES", 2**20)
    path = tmp_path / "bomb.parquet"
    rows = 16
    table = pa.table({"id": [str(row) for row in range(rows)], "text": ["t"] * rows, "x\x1b": ["x" * 2**20] * rows})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, data_page_size=2**30, write_statistics=False)
    assert path.stat().st_size < 2**18
    with (
        pytest.raises(
            SourceError, match=r"the column 'x\\\\?x1b' grows from .* to 1[56] MiB; leave it out with --drop"
        ),
        open_sources([path]) as source,
    ):
        list(source)
