"""Files and streams in, passages out: one pass, in order, in memory that doesn't grow with their size.

    with open_sources(["corpus/*.jsonl.zst"]) as reader:
        for passage in reader:
            ...

Reads MS MARCO's TSV, JSONL (BEIR's included) and JSON arrays, CSV and TSV, Parquet and Delta Lake tables, and folders
of text files.
"""

from tasb_qdrant.sources.formats import FORMATS
from tasb_qdrant.sources.memory import open_records
from tasb_qdrant.sources.open import open_sources
from tasb_qdrant.sources.options import TextOptions
from tasb_qdrant.sources.reader import SourceFile, SourceReader
from tasb_qdrant.sources.record.fields import FieldsTaken, SourceFields
from tasb_qdrant.sources.remote.file import RemoteFile
from tasb_qdrant.sources.remote.url import shown_name, url_of

__all__ = [
    "open_sources",
    "open_records",
    "SourceFile",
    "RemoteFile",
    "shown_name",
    "url_of",
    "SourceReader",
    "SourceFields",
    "TextOptions",
    "FieldsTaken",
    "FORMATS",
]
