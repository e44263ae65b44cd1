"""Which fields of a source's records are id, text and title, and the passage built from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from tasb_qdrant.errors import InvalidPassageError, MissingFieldError
from tasb_qdrant.records import Passage
from tasb_qdrant.records.json_values import finite, json_value
from tasb_qdrant.sources.cursor import Cursor
from tasb_qdrant.sources.find.partitions import Partition, merge_partition
from tasb_qdrant.sources.record.choice import Choice, take_out
from tasb_qdrant.sources.record.fields import (
    ID_NAMES,
    TEXT_NAMES,
    TITLE_NAMES,
    FieldPath,
    FieldsTaken,
    IdFrom,
    SourceFields,
    find_path,
    names_in,
)

_BEIR_ID: Final = "_id"
_METADATA: Final = "metadata"
_MISSING: Final = object()
_EXACT: Final = 2**53
"""Whole floats from here on may stand for several integers."""

_JSON_NAMES: Final = {bool: "a boolean", float: "a float", dict: "an object", list: "an array"}


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as its records need to know it: its name, the name that made ids begin with, and what the folders
    that it lies in say of every record."""

    name: str
    label: str = ""
    partition: Partition = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """The paths of id, text and title in the records of one source; everything else is payload.

    With `flatten`, the fields of BEIR's `metadata` object become payload fields themselves. Without a path of the id,
    `id_from` says how it is made. `titled`: the title was seen, and isn't just looked for.
    """

    id: FieldPath | None
    text: FieldPath
    title: FieldPath | None
    flatten: bool
    origin: Origin
    choice: Choice | None
    id_from: IdFrom | None = None
    payload: tuple[str, ...] = ()
    titled: bool = False

    def passage(self, record: dict[str, Any], cursor: Cursor, line: int) -> Passage:
        """The passage built from the record of this line, which is consumed. Raises InvalidPassageError."""
        if self.origin.partition:
            merge_partition(record, self.origin.partition)
        raw_id = _MISSING if self.id is None else take_out(record, self.id, _MISSING)
        text = take_out(record, self.text, _MISSING)
        title: Any = None if self.title is None else take_out(record, self.title, _MISSING)
        if self.flatten and type(record.get(_METADATA)) is dict:
            self._flatten(record, (raw_id, text, title))
        if self.choice is not None:
            record = self.choice.of(record)
        if title is _MISSING or title == "" or _is_nan(title):
            title = None
        if type(text) is not str:
            text = self._text(text, title)
        passage_id = self._id(raw_id, cursor) if self.id is not None else made_id(self, line, title, text)
        try:
            return Passage(id=passage_id, text=text, title=title, payload=record)
        except InvalidPassageError as error:
            if error.field != "payload":
                raise
            kept, nulled = finite(json_value(record))
            if not nulled:
                raise
        passage = Passage(id=passage_id, text=text, title=title, payload=kept)
        cursor.nulled += nulled
        return passage

    def taken(self, file_format: str) -> FieldsTaken:
        """For people."""
        return FieldsTaken(
            source=self.origin.name,
            format=file_format,
            id=None if self.id is None else ".".join(self.id),
            text=".".join(self.text),
            title=".".join(self.title) if self.title is not None and self.titled else None,
            id_from=self.id_from,
            payload=self.payload,
        )

    def _text(self, text: Any, title: Any) -> Any:
        """A text that isn't simply a string; null is an empty one where there is a title."""
        if text is _MISSING or text is None or _is_nan(text):
            if text is not _MISSING and isinstance(title, str):
                return ""
            raise InvalidPassageError(_absent(text, "text", self.text), field="text")
        return text

    def _id(self, value: object, cursor: Cursor) -> str:
        if type(value) is str:
            return value
        value = json_value(value)
        if type(value) is int:
            return str(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            cursor.whole_ids += 1
            return str(int(value))
        if value is _MISSING or value is None:
            raise InvalidPassageError(_absent(value, "id", self.id or ()), field="id")
        kind = _JSON_NAMES.get(type(value), type(value).__name__)
        if isinstance(value, float) and abs(value) >= _EXACT:
            kind += f", {value:g}, which several integers become; store the ids as integers or strings"
        raise InvalidPassageError(
            f"the id (field {'.'.join(self.id or ())!r}) must be a string or an integer, got {kind}", field="id"
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


def made_id(plan: FieldPlan, line: int, title: Any, text: Any) -> str:
    """The id of a record that has none: of what it says, or of where it stands."""
    if plan.id_from == "row":
        return f"{plan.origin.label}#{line}"
    if not isinstance(text, str) or not isinstance(title, str | None):
        return "?"  # no passage, as it will say itself
    # 128 bits in the form of a UUID: a billion passages have two alike once in 10^20 cases.
    return hashlib.sha256(f"{title or ''}\n{text}".encode(errors="surrogatepass")).hexdigest()[:32]


def plan_fields(
    samples: Sequence[Mapping[str, Any]],
    fields: SourceFields,
    *,
    origin: Origin,
    choice: Choice | None = None,
    noun: Literal["column", "field"] = "column",
) -> FieldPlan:
    """The plan for a source whose records, or tree of columns, look like `samples` (at least one).

    The first sample with a matching field decides. Raises MissingFieldError, which lists the fields of the
    first sample, if no sample has an id, a text, or a title that was asked for; `noun` is what the message
    calls a field.
    """
    asked = {*fields.given, *fields.drop}

    def find(given: str | None, names: Iterable[str]) -> FieldPath | None:
        if given is not None:
            return next((path for sample in samples if (path := find_path(sample, given))), None)
        return _recognised(samples, [name for name in names if name not in asked], asked)

    def missing(role: str, given: str | None) -> MissingFieldError:
        ways = f"--{role}-field" + (", or make ids with --id-from text|row" if role == "id" and given is None else "")
        return MissingFieldError(
            source=origin.name, wanted=given or role, available=names_in(samples[0]), option=ways, noun=noun
        )

    identifier = None if fields.id_from else find(fields.id, ID_NAMES)
    if identifier is None and not fields.id_from:
        raise missing("id", fields.id)
    text = find(fields.text, TEXT_NAMES)
    if text is None:
        raise missing("text", fields.text)
    title = find(fields.title, TITLE_NAMES)
    if title is None and fields.title is not None:
        raise missing("title", fields.title)
    # Titles may be sparse, so one that isn't in the samples is still recognised later.
    titled = title is not None
    if title is None and "title" not in asked:
        title = ("title",)
    flatten = identifier == (_BEIR_ID,)
    payload = _payload_names([*samples, origin.partition], {identifier, text, title}, flatten=flatten)
    return FieldPlan(identifier, text, title, flatten, origin, choice, fields.id_from, payload, titled)


def _recognised(samples: Sequence[Mapping[str, Any]], names: Sequence[str], asked: set[str]) -> FieldPath | None:
    """The first of the names in the first sample that has one; else the same whatever the case of its letters."""
    for sample in samples:
        if found := next((name for name in names if name in sample), None):
            return (found,)
    for sample in samples:
        spelled = {name.casefold(): name for name in reversed([*sample]) if name not in asked}
        if found := next((spelled[name] for name in names if name in spelled), None):
            return (found,)
    return None


def _payload_names(
    samples: Sequence[Mapping[str, Any]], roles: set[FieldPath | None], *, flatten: bool
) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for sample in samples:
        for name, value in sample.items():
            if flatten and name == _METADATA and isinstance(value, Mapping):
                names |= dict.fromkeys(value)
            elif (name,) not in roles:
                names[name] = None
    return tuple(names)


def _is_nan(value: Any) -> bool:
    """NaN is what pandas has for a missing string, and what it writes for one."""
    return isinstance(value, float) and value != value


def _equal(one: object, other: object) -> bool:
    """Whether two values are the same JSON; 1, 1.0 and true differ. Raises InvalidPassageError."""
    try:
        return orjson.dumps(one) == orjson.dumps(other)
    except orjson.JSONEncodeError as error:  # beyond 254 levels or 64 bits, or half of a surrogate pair
        raise InvalidPassageError(f"a field of the metadata can't be stored ({error})", field="payload") from None


def _absent(value: object, role: str, path: FieldPath) -> str:
    name = ".".join(path)
    return f"no field {name!r}, which is the {role}" if value is _MISSING else f"the {role} (field {name!r}) is null"
