"""Files and streams in, passages out: one pass, in order, in bounded memory whatever their size.

    with open_sources(["corpus/*.jsonl.zst"]) as reader:
        for passage in reader:
            ...

MS MARCO's TSV, JSONL (BEIR's among it) and arrays of JSON, CSV and TSV, Parquet and tables of Delta Lake, and folders
of text files.
"""

from tasb_qdrant.sources.fields import FieldsTaken, SourceFields
from tasb_qdrant.sources.formats import FORMATS
from tasb_qdrant.sources.open import open_sources
from tasb_qdrant.sources.options import SourceOptions
from tasb_qdrant.sources.reader import SourceReader

__all__ = ["open_sources", "SourceReader", "SourceFields", "SourceOptions", "FieldsTaken", "FORMATS"]
