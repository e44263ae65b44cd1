"""Files and streams in, passages out: one pass, in order, in memory that doesn't grow with their size.

    with open_sources(["corpus/*.jsonl.zst"]) as reader:
        for passage in reader:
            ...

Reads MS MARCO's TSV, JSONL (BEIR's included), CSV and TSV with a header, and Parquet.
"""

from tasb_qdrant.sources.fields import SourceFields
from tasb_qdrant.sources.formats import FORMATS
from tasb_qdrant.sources.reader import SourceReader, open_sources

__all__ = ["open_sources", "SourceReader", "SourceFields", "FORMATS"]
