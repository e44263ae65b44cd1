"""A pydantic model of the payload: the indexes it asks for, and payloads validated against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasb_qdrant.errors import PayloadInvalidError, SettingsError
from tasb_qdrant.filters.marker import Indexed
from tasb_qdrant.filters.shape import Kind, Shape, walk
from tasb_qdrant.records.path import canonical_path

if TYPE_CHECKING:  # pydantic takes longer to import than all of this package
    from pydantic import BaseModel

    from tasb_qdrant.settings import IndexType

    M = TypeVar("M", bound=BaseModel)
else:
    M = TypeVar("M")
    BaseModel, IndexType = Any, str

_SUITS: Final[Mapping[str, frozenset[Kind]]] = {
    "keyword": frozenset({"str", "UUID"}),
    "text": frozenset({"str"}),
    "integer": frozenset({"int"}),
    "float": frozenset({"float", "int"}),
    "bool": frozenset({"bool"}),
    "datetime": frozenset({"datetime", "date", "str"}),
    "uuid": frozenset({"UUID", "str"}),
    "geo": frozenset({"place", "object"}),
}
"""The kinds of values that each type of index holds."""

_DEFAULTS: Final[tuple[tuple[frozenset[Kind], IndexType], ...]] = (
    (frozenset({"str"}), "keyword"),
    (frozenset({"bool"}), "bool"),
    (frozenset({"int"}), "integer"),
    (frozenset({"int", "float"}), "float"),
    (frozenset({"datetime", "date"}), "datetime"),
    (frozenset({"UUID"}), "uuid"),
    (frozenset({"place", "object"}), "geo"),
)


_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def indexes_of(model: type[BaseModel]) -> dict[str, IndexType]:
    """Payload field -> index, for the fields marked with Indexed: `year`, `author.name`, `authors[].name`.

    Raises SettingsError for an index type that doesn't suit the field's type, or that has to be given.
    """
    return {
        canonical_path(path): _index(shape, shape.marker, where)
        for path, where, shape in walk(model)
        if shape.marker is not None
    }


def _index(shape: Shape, marker: Indexed, where: str) -> IndexType:
    if marker.kind is None:
        for kinds, index in _DEFAULTS:
            if shape.kinds <= kinds and not (index == "geo" and "place" not in shape.kinds):
                return index
        raise SettingsError(
            f"{where} is {shape}, which doesn't determine an index type; name one, as in Indexed('keyword'), or drop it"
        )
    suits = _SUITS.get(marker.kind)
    if suits is None:
        raise SettingsError(f"{where}: no index type {marker.kind!r}; the types are {', '.join(_SUITS)}")
    if "anything" not in shape.kinds and not shape.kinds <= suits:
        raise SettingsError(
            f"{where} is {shape}, but a {marker.kind} index holds {' or '.join(sorted(suits))}; change one of them"
        )
    return marker.kind


def validate_payload(model: type[M], payload: Mapping[str, Any], *, passage_id: str) -> M:
    """The payload as an instance of the model, as strictly as filters compare: "2020" is not an int.

    Dates, UUIDs and enums are read from the strings that a payload stores for them. Raises PayloadInvalidError, which
    names the passage by `passage_id`.
    """
    import orjson
    from pydantic import ValidationError

    try:
        return model.model_validate_json(orjson.dumps(payload), strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        first = problems[0]
        raise PayloadInvalidError(
            passage_id=passage_id,
            model=model.__name__,
            field=_field(first["loc"]),
            problem=_problem(first["msg"], first["type"], first["input"]),
            others=len(problems) - 1,
        ) from None


def _field(place: tuple[str | int, ...]) -> str:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return field.removeprefix(".") or "the payload"


def _problem(message: str, kind: str, given: object) -> str:
    if kind == "missing":
        return "it is missing"
    if kind == "datetime_parsing" and isinstance(given, str) and _DATE.fullmatch(given):
        return f"{given!r} is a date without a time; declare the field as date, or as datetime | date"
    shown = repr(given)
    return f"{message[:1].lower()}{message[1:]}, got {shown if len(shown) <= 60 else shown[:60] + '…'}"
