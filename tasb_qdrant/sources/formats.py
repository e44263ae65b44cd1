"""The format of a source: the one asked for, else by its name, else by its first bytes."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Final

from tasb_qdrant.errors import SettingsError, SourceError
from tasb_qdrant.sources.find.discover import ending
from tasb_qdrant.sources.input.streams import Head, Input
from tasb_qdrant.sources.record.fields import ID_NAMES, TEXT_NAMES, SourceFields

FORMATS: Final = ("msmarco", "jsonl", "csv", "tsv", "parquet", "text")

ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    ".tsv": ("msmarco", "tsv"),
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".json": ("jsonl",),
    ".csv": ("csv",),
    ".parquet": ("parquet",),
    ".txt": ("text",),
    ".md": ("text",),
}

_ONLY_WHEN_ASKED: Final = (".json", ".txt", ".md")
"""Ambiguous endings: most such files are settings and notes, so they are picked up from a folder only if their format
is asked for."""

_TEXT_ENDINGS: Final = (".txt", ".md")
"""A single file so named may hold anything; that it is one passage has to be said."""

_PARQUET: Final = b"PAR1"
_TAR: Final = b"ustar"
_TAR_AT: Final = 257
_SHOWN_BYTES: Final = 256

# Column names are short. A first line is taken for a passage only if its second cell is longer, or its first
# is a number, as every MS MARCO id is.
_NAME_CHARS: Final = 64
_NAME_WORDS: Final = 4


def check_format(name: str | None) -> None:
    """Raises SettingsError for an unknown format."""
    if name is not None and name not in FORMATS:
        raise SettingsError(f"--format takes one of {', '.join(FORMATS)}; got {name!r}")


def endings_of(name: str | None) -> tuple[str, ...]:
    """The endings that select a folder's files: those of the format, or all unambiguous ones."""
    if name is None:
        return tuple(end for end in ENDINGS if end not in _ONLY_WHEN_ASKED)
    return tuple(end for end, formats in ENDINGS.items() if name in formats)


def is_parquet(source: Input, *, given: str | None) -> bool:
    """Whether the source is Parquet, the one format that isn't text, by the format asked for or by its name."""
    return given == "parquet" or (given is None and ending(source.file_name, ENDINGS) == ".parquet")


def format_of(source: Input, head: Head, *, given: str | None, fields: SourceFields) -> str:
    """One of FORMATS other than Parquet. Raises SourceError or SettingsError if only a person can tell.

    A `.tsv` has a header ("tsv") if `fields` names columns, if its first line does not have exactly two columns,
    or if those are known names for id and text. It is "msmarco" if the first of the two is a number, or the
    second is longer than a name. If they could be either, an error asks for --format: a wrong guess would lose
    the first passage, or store a header as one.
    """
    if given is not None:
        return given
    known = None if source.is_stream and source.path is None else ending(source.file_name, ENDINGS)
    if known in _TEXT_ENDINGS:
        known = None
    if known == ".tsv":
        return _kind_of_tsv(head, fields, source=source.name)
    if known is not None:
        return ENDINGS[known][0]
    start = head.data.removeprefix(BOM_UTF8).lstrip()
    if start[:1] == b"{" or (start[:1] == b"[" and start[1:].lstrip()[:1] == b"{"):
        return "jsonl"
    choices = ", ".join(FORMATS)
    if source.is_stream:
        raise SettingsError(f"{source.name}: a stream has no ending to tell its format by; give --format ({choices})")
    raise SourceError(
        f"can't tell the format from the name; give --format ({choices}) or an ending: {', '.join(ENDINGS)}",
        source=source.name,
    )


def check_text(head: Head, *, source: str) -> None:
    """Raises SourceError for what clearly isn't UTF-8 text: UTF-16 without a mark, a Parquet file, a tar archive."""
    data = head.data
    if data.startswith(_PARQUET):
        raise SourceError("a Parquet file, expected text; give --format parquet", source=source)
    if data[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise SourceError(
            "a tar archive, expected one file; unpack it, or pipe it: "
            "tar -xOf FILE | tasb-qdrant ingest - --format FORMAT",
            source=source,
        )
    if data[:_SHOWN_BYTES].count(0) > len(data[:_SHOWN_BYTES]) // 4:
        raise SourceError(
            "a quarter of its first bytes are NUL, expected UTF-8 text; name the encoding: --encoding utf-16-le (or "
            "utf-16-be)",
            source=source,
        )


def _kind_of_tsv(head: Head, fields: SourceFields, *, source: str) -> str:
    if fields.given:
        return "tsv"
    lines = (line for line in head.data.removeprefix(BOM_UTF8).split(b"\n") if line.strip())
    first = next(lines, b"").decode(errors="replace").removesuffix("\r")
    if first.count("\t") != 1:
        return "tsv" if first else "msmarco"
    left, right = (cell.strip('"') for cell in first.split("\t"))
    is_id, is_text = left in ID_NAMES, right in TEXT_NAMES
    if is_id and is_text:
        return "tsv"
    is_long = len(right) > _NAME_CHARS or len(right.split()) > _NAME_WORDS
    is_number = left.isascii() and left.isdigit()
    if is_id or is_text or not (is_long or is_number):
        raise SourceError(
            f"the first line ({left!r}, {right[:_NAME_CHARS]!r}) could be a header or a passage; "
            "give --format tsv for a header, or --format msmarco for none",
            source=source,
            line=1,
        )
    return "msmarco"
