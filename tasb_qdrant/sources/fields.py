"""Which fields of a record are its id, text and title, and the passage built from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from tasb_qdrant.errors import InvalidPassageError, MissingFieldError, SettingsError
from tasb_qdrant.records import MAX_PAYLOAD_DEPTH, Passage

ID_NAMES: Final = ("_id", "id", "doc_id", "docid", "pid", "passage_id")
TEXT_NAMES: Final = ("text", "contents", "content", "passage", "body")
TITLE_NAMES: Final = ("title",)

_BEIR_ID: Final = "_id"
_METADATA: Final = "metadata"
_MISSING: Final = object()
_JSON_NAMES: Final = {bool: "a boolean", float: "a float", dict: "an object", list: "an array"}
_SHOWN_FIELDS: Final = 50
_SHOWN_CHARS: Final = 60

FieldPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceFields:
    """Which fields hold the id, text and title in the records of JSONL, CSV, TSV and Parquet.

    None means to recognise it by name: the first of ID_NAMES, TEXT_NAMES or TITLE_NAMES that is present.
    "meta.doc.id" reaches into objects, unless a field has exactly that name.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        given = [(role, name) for role in ("id", "text", "title") if (name := getattr(self, role)) is not None]
        for role, name in given:
            if not name:
                raise SettingsError(f"--{role}-field is empty; name the field that holds the {role}")
        names = [name for _, name in given]
        if len(set(names)) < len(names):
            raise SettingsError(f"id, text and title must be different fields, got {', '.join(names)}")

    @property
    def given(self) -> tuple[str, ...]:
        """The names that were given explicitly."""
        return tuple(name for name in (self.id, self.text, self.title) if name is not None)


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """The paths of id, text and title in the records of one file; everything else is payload.

    With `flatten`, the fields of BEIR's `metadata` object become payload fields themselves.
    """

    id: FieldPath
    text: FieldPath
    title: FieldPath | None
    flatten: bool

    def passage(self, record: dict[str, Any]) -> Passage:
        """The passage built from the record, which is consumed. Raises InvalidPassageError."""
        raw_id = _take(record, self.id)
        text = _take(record, self.text)
        title: Any = None if self.title is None else _take(record, self.title)
        if self.flatten and type(record.get(_METADATA)) is dict:
            self._flatten(record, (raw_id, text, title))
        if text is _MISSING or text is None:
            raise InvalidPassageError(_absent(text, "text", self.text), field="text")
        if title is _MISSING or title == "":
            title = None
        return Passage(id=self._id(raw_id), text=text, title=title, payload=record)

    def _id(self, value: object) -> str:
        if type(value) is str:
            return value
        if type(value) is int:
            return str(value)
        if value is _MISSING or value is None:
            raise InvalidPassageError(_absent(value, "id", self.id), field="id")
        kind = _JSON_NAMES.get(type(value), type(value).__name__)
        raise InvalidPassageError(
            f"the id (field {'.'.join(self.id)!r}) must be a string or an integer, got {kind}", field="id"
        )

    def _flatten(self, record: dict[str, Any], taken: tuple[Any, Any, Any]) -> None:
        metadata: dict[str, Any] = record.pop(_METADATA)
        roles = dict(zip((self.id, self.text, self.title), taken, strict=True))
        for name, value in metadata.items():
            there = roles[(name,)] if (name,) in roles else record.get(name, _MISSING)
            if there is _MISSING:
                record[name] = value
            elif not _equal(there, value):
                raise InvalidPassageError(
                    f"field {name!r} is in both the record and its metadata, with different values",
                    field="payload",
                )


def plan_fields(
    samples: Sequence[Mapping[str, Any]],
    fields: SourceFields,
    *,
    source: str,
    noun: Literal["column", "field"] = "column",
) -> FieldPlan:
    """The plan for a file whose records, or tree of columns, look like `samples` (at least one).

    The first sample with a matching field decides. Raises MissingFieldError, which lists the fields of the
    first sample, if no sample has an id, a text, or a title that was asked for; `noun` is what the message
    calls a field.
    """
    asked = set(fields.given)

    def find(given: str | None, names: Iterable[str]) -> FieldPath | None:
        candidates = (given,) if given is not None else [name for name in names if name not in asked]
        found = (_path(sample, name) for sample in samples for name in candidates)
        return next((path for path in found if path is not None), None)

    def missing(role: str, given: str | None) -> MissingFieldError:
        return MissingFieldError(
            source=source,
            wanted=given or role,
            available=_names(samples[0]),
            option=f"--{role}-field",
            noun=noun,
        )

    identifier = find(fields.id, ID_NAMES)
    if identifier is None:
        raise missing("id", fields.id)
    text = find(fields.text, TEXT_NAMES)
    if text is None:
        raise missing("text", fields.text)
    title = find(fields.title, TITLE_NAMES)
    if title is None and fields.title is not None:
        raise missing("title", fields.title)
    # Titles may be sparse, so one that isn't in the samples is still recognised later.
    if title is None and "title" not in asked:
        title = ("title",)
    return FieldPlan(identifier, text, title, flatten=identifier == (_BEIR_ID,))


def _path(sample: Mapping[str, Any], name: str) -> FieldPath | None:
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


def _take(record: dict[str, Any], path: FieldPath) -> Any:
    """Remove the value at the path from the record, along with objects that this empties, and return it."""
    if len(path) == 1:
        return record.pop(path[0], _MISSING)
    inner = record.get(path[0])
    if not isinstance(inner, dict):
        return _MISSING
    value = _take(inner, path[1:])
    if value is not _MISSING and not inner:
        del record[path[0]]
    return value


def _equal(one: object, other: object) -> bool:
    """Whether two values are the same JSON; 1, 1.0 and true differ. Raises InvalidPassageError."""
    try:
        return orjson.dumps(one) == orjson.dumps(other)
    except orjson.JSONEncodeError as error:  # beyond 254 levels or 64 bits, or half of a surrogate pair
        raise InvalidPassageError(f"a field of the metadata can't be stored ({error})", field="payload") from None


def _absent(value: object, role: str, path: FieldPath) -> str:
    name = ".".join(path)
    return f"the {role} (field {name!r}) is null" if value is None else f"no field {name!r}, which is the {role}"


def _names(sample: Mapping[str, Any], prefix: str = "", depth: int = 1) -> list[str]:
    """Names as an option takes them, nested ones dotted, shortened to fit a message."""
    names: list[str] = []
    for key, value in sample.items():
        if isinstance(value, Mapping) and value and depth < MAX_PAYLOAD_DEPTH:
            names.extend(_names(value, f"{prefix}{key}.", depth + 1))
        else:
            shown = f"{prefix}{key}"
            names.append(shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…")
    return names if len(names) <= _SHOWN_FIELDS else [*names[:_SHOWN_FIELDS], "…"]
