"""What the fields of a payload model hold, read from its annotations, for filters and indexes.

A model is a pydantic model or a dataclass. pydantic itself isn't imported here: whoever has a model has it.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, Union
from uuid import UUID

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.filters.marker import Indexed

Kind: TypeAlias = Literal["str", "int", "float", "bool", "datetime", "date", "UUID", "place", "object", "anything"]

_KINDS: Final[Mapping[type[Any], Kind]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    datetime: "datetime",
    date: "date",
    UUID: "UUID",
}
_PYDANTIC: Final[Mapping[str, Kind]] = {
    "AwareDatetime": "datetime",
    "NaiveDatetime": "datetime",
    "PastDatetime": "datetime",
    "FutureDatetime": "datetime",
    "PastDate": "date",
    "FutureDate": "date",
}
"""pydantic classes that stand for others without inheriting from them."""

_NO_MODEL: Final = "a payload model is a pydantic class, as in class Article(BaseModel), got {!r}"

_ARRAYS: Final = (list, set, frozenset, tuple, Sequence, AbstractSet, Iterable, Collection)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a field holds, or, with `many`, each of its elements."""

    kinds: frozenset[Kind]
    many: bool = False
    choices: tuple[str | int | bool, ...] | None = None
    """The only possible values, for a Literal or an Enum."""
    model: type[Any] | None = None
    marker: Indexed | None = None

    def __str__(self) -> str:
        held = " or ".join(sorted(self.kinds))
        if self.choices is not None:
            held = " or ".join(map(repr, self.choices))
        elif self.model is not None:
            held = self.model.__name__
        return f"a list of {held}" if self.many else held


_KNOWN: Final[weakref.WeakKeyDictionary[type[Any], Mapping[str, tuple[str, Shape]]]] = weakref.WeakKeyDictionary()


def members(model: type[Any]) -> Mapping[str, tuple[str, Shape]]:
    """Attribute -> (its name in the payload, its shape), in the order of the model.

    Raises SettingsError for anything but a model, and for an alias that doesn't name a single payload field.
    """
    if not isinstance(model, type):
        raise SettingsError(_NO_MODEL.format(model))
    if (known := _KNOWN.get(model)) is None:
        known = _KNOWN[model] = _members(model)
    return known


def _members(model: type[Any]) -> Mapping[str, tuple[str, Shape]]:
    if hasattr(model, "__pydantic_fields__"):
        if hasattr(model, "model_rebuild") and not model.__pydantic_complete__:
            model.model_rebuild()
        return {
            name: (_stored_name(model, name, info), shape_of(info.annotation, info.metadata))
            for name, info in model.__pydantic_fields__.items()
        }
    if dataclasses.is_dataclass(model):
        hints = typing.get_type_hints(model, include_extras=True)
        return {each.name: (each.name, shape_of(hints[each.name])) for each in dataclasses.fields(model)}
    raise SettingsError(_NO_MODEL.format(model))


def is_model(annotation: object) -> bool:
    """Whether it is a class with fields: a pydantic model or a dataclass."""
    return isinstance(annotation, type) and (
        hasattr(annotation, "__pydantic_fields__") or dataclasses.is_dataclass(annotation)
    )


def shape_of(annotation: object, metadata: Iterable[object] = ()) -> Shape:
    """What a field of this type holds. `metadata` is what pydantic has removed from an outer Annotated."""
    found = _Found()
    found.note(metadata)
    found.enter(annotation, many=False)
    only_choices = found.choices and not found.open
    return Shape(
        kinds=frozenset(found.kinds) or frozenset({"anything"}),
        many=found.many,
        choices=tuple(dict.fromkeys(found.choices)) if only_choices else None,
        model=found.models[0] if len(found.models) == 1 else None,
        marker=found.marker,
    )


@dataclass(slots=True)
class _Found:
    """What the parts of an annotation add up to."""

    kinds: set[Kind] = field(default_factory=set)
    choices: list[Any] = field(default_factory=list)
    models: list[type[Any]] = field(default_factory=list)
    many: bool = False
    open: bool = False
    marker: Indexed | None = None

    def note(self, metadata: Iterable[object]) -> None:
        for each in metadata:
            if each is Indexed:
                raise SettingsError("in a payload model's Annotated, write Indexed() with parentheses")
            if isinstance(each, Indexed):
                self.marker = each

    def enter(self, annotation: Any, *, many: bool) -> None:
        annotation = _unnamed(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            self.note(arguments[1:])
            self.enter(arguments[0], many=many)
        elif origin in (Union, types.UnionType):
            for each in arguments:
                self.enter(each, many=many)
        elif origin is Literal:
            self._choose(arguments)
        elif annotation is None or annotation is type(None):
            return
        elif (origin or annotation) in _ARRAYS and not many:
            self.many = True
            for each in arguments or (Any,):
                if each is not Ellipsis:
                    self.enter(each, many=True)
        else:
            self._single(origin or annotation)

    def _choose(self, values: Iterable[object]) -> None:
        for value in values:
            plain = value.value if isinstance(value, enum.Enum) else value
            if plain is not None:
                self.choices.append(plain)
                self.kinds.add(_KINDS.get(type(plain), "anything"))

    def _single(self, kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            self._choose(kind)
            return
        self.open = True
        if is_model(kind):
            self.models.append(kind)
            self.kinds.add("object")
            if _is_place(kind):
                self.kinds.add("place")
            return
        self.kinds.add(_kind(kind))


def _unnamed(annotation: Any) -> Any:
    """What a NewType or a `type X = ...` stands for."""
    while True:
        if hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__") and not isinstance(annotation, type):
            annotation = annotation.__value__
        else:
            return annotation


def _kind(held: Any) -> Kind:
    if not isinstance(held, type):
        return "anything"
    if held.__module__.startswith("pydantic.") and held.__name__ in _PYDANTIC:
        return _PYDANTIC[held.__name__]
    return next((kind for parent, kind in _KINDS.items() if issubclass(held, parent)), "anything")


def _is_place(model: type[Any]) -> bool:
    if hasattr(model, "__pydantic_fields__"):
        types_ = {name: info.annotation for name, info in model.__pydantic_fields__.items()}
    else:
        types_ = typing.get_type_hints(model)
    return all(types_.get(name) in (float, int) for name in ("lat", "lon"))


def _stored_name(model: type[Any], name: str, info: Any) -> str:
    """The payload field that is read into the attribute: its alias, if it has one."""
    alias = info.validation_alias or info.alias
    if alias is None:
        return name
    if not isinstance(alias, str):
        raise SettingsError(
            f"{model.__name__}.{name} is read from {alias!r}, but a payload field has only one name; "
            "give it a plain string as its alias"
        )
    return alias


def walk(model: type[Any], prefix: str = "", above: tuple[type[Any], ...] = ()) -> Iterator[tuple[str, str, Shape]]:
    """(payload path, Model.attribute, shape) of every field, those of nested models included.

    A model inside itself is entered once.
    """
    for attribute, (name, shape) in members(model).items():
        path = f"{prefix}`{name}`"
        yield path, f"{model.__name__}.{attribute}", shape
        if shape.model is not None and shape.model not in (*above, model):
            yield from walk(shape.model, f"{path}{'[]' if shape.many else ''}.", (*above, model))
