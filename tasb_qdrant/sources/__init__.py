"""Files and streams in, passages out: one pass, in order, in bounded memory whatever their size.

    with open_sources(["corpus/*.jsonl.zst"]) as reader:
        for passage in reader:
            ...

MS MARCO's TSV, JSONL (BEIR's among it), CSV and TSV with a header, and Parquet.
"""

from tasb_qdrant.sources.fields import SourceFields
from tasb_qdrant.sources.formats import FORMATS
from tasb_qdrant.sources.reader import SourceReader, open_sources

__all__ = ["open_sources", "SourceReader", "SourceFields", "FORMATS"]
