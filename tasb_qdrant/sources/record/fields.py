"""What a caller can say about the fields of records: which are id, text and title, and which are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH

ID_NAMES: Final = ("passage_id", "chunk_id", "_id", "id", "pid", "doc_id", "docid")
"""A passage's own id goes before its document's: MS MARCO v2 has `pid` and `docid`, chunks `passage_id` and
`doc_id`, and a table of chunks may number its rows as `id`."""

TEXT_NAMES: Final = ("text", "contents", "content", "passage", "segment", "body")
TITLE_NAMES: Final = ("title",)

ID_SOURCES: Final = ("text", "row")

IdFrom = Literal["text", "row"]
FieldPath = tuple[str, ...]

_SHOWN_FIELDS: Final = 50
_SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class SourceFields:
    """Which fields hold the id, text and title in the records of JSONL, CSV, TSV and Parquet, and what else is kept.

    None means to recognise it by name: the first of ID_NAMES, TEXT_NAMES or TITLE_NAMES that is present, in any
    case only if none is present as spelled. "meta.doc.id" reaches into objects, unless a
    field has exactly that name; so it is with `fields`, the only fields that become payload (None: all), and
    with `drop`, which don't.

    `id_from` makes the ids of records that have none: from title and text ("text": the same wherever they
    stand), or from the file's name and the line or row ("row": the same as long as nothing is inserted above).
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None
    fields: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    id_from: IdFrom | None = None

    def __post_init__(self) -> None:
        given = [(role, name) for role in ("id", "text", "title") if (name := getattr(self, role)) is not None]
        for role, name in given:
            if not name:
                raise SettingsError(f"--{role}-field is empty; name the field that holds the {role}")
            if name in self.drop:
                raise SettingsError(f"--{role}-field and --drop both name {name!r}; leave it out of one")
        names = [name for _, name in given]
        if len(set(names)) < len(names):
            raise SettingsError(f"id, text and title must be different fields, got {', '.join(names)}")
        if any(not name for name in (*self.drop, *(self.fields or ()))):
            raise SettingsError("--fields and --drop take names of fields, and one is empty")
        if both := set(self.drop) & set(self.fields or ()):
            raise SettingsError(f"--fields and --drop both name {', '.join(sorted(both))}; leave it out of one")
        if self.id_from is not None and self.id is not None:
            raise SettingsError("--id-field names the ids and --id-from makes them; leave one out")
        if self.id_from not in (None, *ID_SOURCES):
            raise SettingsError(f"--id-from takes one of {', '.join(ID_SOURCES)}; got {self.id_from!r}")

    @property
    def given(self) -> tuple[str, ...]:
        """The names that were given explicitly."""
        return tuple(name for name in (self.id, self.text, self.title) if name is not None)


@dataclass(frozen=True, slots=True)
class FieldsTaken:
    """What was taken for what in one `source`, of one `format`, known before its first passage.

    `id`, `text` and `title` are names as an option takes them, None where there is none; `id_from` says how
    ids are made. `payload` are the other fields, as far as they can be known beforehand, and `types` those that
    the cells of CSV and TSV were read as.
    """

    source: str
    format: str
    id: str | None
    text: str | None
    title: str | None
    id_from: IdFrom | None = None
    payload: tuple[str, ...] = ()
    types: Mapping[str, str] | None = None


def find_path(sample: Mapping[str, Any], name: str) -> FieldPath | None:
    """Where the field stands in the sample: under exactly this name, else at the dotted path; None for nowhere."""
    if name in sample:
        return (name,)
    path = tuple(name.split("."))
    if len(path) > MAX_PAYLOAD_DEPTH:
        return None
    value: Any = sample
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return path


def names_in(sample: Mapping[str, Any], prefix: str = "", depth: int = 1) -> list[str]:
    """Names as an option takes them, nested ones dotted, shortened to fit a message."""
    names: list[str] = []
    for key, value in sample.items():
        if isinstance(value, Mapping) and value and depth < MAX_PAYLOAD_DEPTH:
            names.extend(names_in(value, f"{prefix}{key}.", depth + 1))
        else:
            shown = f"{prefix}{key}"
            names.append(shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…")
    return names if len(names) <= _SHOWN_FIELDS else [*names[:_SHOWN_FIELDS], "…"]
