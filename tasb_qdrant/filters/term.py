"""`fields(Model)` at run time: the names that the model has, compared with values of their types."""

from __future__ import annotations

import difflib
import enum
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final, NoReturn, cast
from uuid import UUID

from tasb_qdrant.errors import FilterError, FilterTypeError
from tasb_qdrant.filters.builder import F, Ordered, Value
from tasb_qdrant.filters.nodes import Filter
from tasb_qdrant.filters.shape import Kind, Shape, members
from tasb_qdrant.filters.values import plain_value
from tasb_qdrant.records.path import canonical_path

_ORDERED: Final[frozenset[Kind]] = frozenset({"int", "float", "datetime", "date", "anything"})
_ACCEPTED: Final[dict[Kind, frozenset[Kind]]] = {
    "int": frozenset({"int", "float"}),
    "date": frozenset({"date", "datetime"}),
    "datetime": frozenset({"date", "datetime"}),
}
"""Kinds of fields that accept a value of a kind; a kind not listed goes with its own alone."""


class Term:
    """A model's fields, or one of them. Its own names start with `_`, because the rest belong to the model."""

    __slots__ = ("_path", "_root", "_shape")

    def __init__(self, root: str, *, path: str, shape: Shape) -> None:
        self._root = root
        self._path = path
        self._shape = shape

    def __repr__(self) -> str:
        return f"{self._root}.{self._path}" if self._path else self._root

    def __getattr__(self, name: str) -> Term:
        if name.startswith("_"):
            raise AttributeError(name)  # which copy, pickle and notebooks look up on any object
        model = self._object()
        known = members(model)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            told = f"closest: {', '.join(close)}" if close else f"fields: {', '.join(known)}"
            raise FilterError(f"{model.__name__} has no field {name!r}; {told}")
        stored, shape = known[name]
        prefix = f"{self._path}." if self._path else ""
        return Term(self._root, path=canonical_path(f"{prefix}`{stored}`"), shape=shape)

    def __getitem__(self, index: int) -> Term:
        if not self._shape.many:
            raise FilterError(f"{self!r} is not a list, so it has no [{index!r}]")
        if type(index) is not int or index < 0:
            raise FilterError(f"{self!r} takes a position in brackets, 0 or more, got {index!r}")
        return self._element(str(index))

    def _element(self, index: str) -> Term:
        return Term(self._root, path=f"{self._path}[{index}]", shape=replace(self._shape, many=False))

    def _inside(self) -> Term:
        one = self._element("") if self._shape.many else self
        one._object()
        return one

    def _any(self) -> Term:
        """An object of this list, whose field names are relative to it."""
        if not self._shape.many:
            raise FilterError(f"{self!r} is {self._shape}, not a list; any is for lists of models")
        element = self._element("")
        element._object()
        return Term(repr(element), path="", shape=element._shape)

    def _object(self) -> type[Any]:
        shape = self._shape
        if shape.model is None:
            raise FilterError(
                f"{self!r} is {shape}, which has no fields; operators such as in_ are written field({self!r}).in_(...)"
            )
        if shape.many:
            raise FilterError(
                f"{self!r} is {shape}; write field({self!r}).inside for the fields of every element, or "
                f"{self!r}[0] for those of the first"
            )
        return shape.model

    def _must_hold(self, kind: Kind, value: object) -> None:
        if not self._shape.kinds & {kind, "anything"}:
            raise FilterTypeError(field=self._path, declared_as=str(self._shape), value=value)

    def _no_filter(self, *_: object) -> NoReturn:
        raise TypeError(
            f"{self!r} alone is neither a filter nor true or false, and & and | bind tighter than comparisons; put "
            "each comparison in parentheses: (fields(Article).year >= 2020) & (fields(Article).draft == True)"
        )

    __bool__ = __and__ = __rand__ = __or__ = __ror__ = __invert__ = _no_filter

    def _not_listed(self, *_: object) -> NoReturn:
        raise TypeError(f"`in` and `for` can't make a filter in Python; write field({self!r}) == VALUE or .in_(VALUES)")

    __contains__ = __iter__ = _not_listed

    __hash__ = None  # type: ignore[assignment]  # as in F: == makes a filter

    def __eq__(self, value: Any) -> Filter:  # type: ignore[override]  # as in F
        return _f(self) == checked(self, value)

    def __ne__(self, value: Any) -> Filter:  # type: ignore[override]  # as in F
        return _f(self) != checked(self, value)

    def __lt__(self, value: Any) -> Filter:
        return _f(self) < ordered(self, value)

    def __le__(self, value: Any) -> Filter:
        return _f(self) <= ordered(self, value)

    def __gt__(self, value: Any) -> Filter:
        return _f(self) > ordered(self, value)

    def __ge__(self, value: Any) -> Filter:
        return _f(self) >= ordered(self, value)


def term_of(model: type[Any]) -> Term:
    """The fields of the model. Raises SettingsError for anything but a model."""
    members(model)
    return Term(f"fields({model.__name__})", path="", shape=Shape(frozenset({"object"}), model=model))


def _f(term: Term) -> F:
    if not term._path:
        raise FilterError(f"{term!r} is a whole payload; compare one of its fields")
    return F(term._path)


def checked(term: Term, value: Any, *, free: bool = False) -> Value:
    """The value as F takes it. Raises FilterTypeError if the field can't hold such a value.

    `free` allows a string that isn't a complete value of the field.
    """
    shape = term._shape
    if isinstance(value, Term):
        raise FilterError(f"{term._path}: Qdrant can't compare two fields; compare with a value")
    if value is None:
        raise FilterError(f"{term._path}: nothing equals None; write field({term!r}).is_null()")
    plain = value.value if isinstance(value, enum.Enum) else value
    if not isinstance(plain, UUID):
        plain = plain_value(plain)
    kind = _kind_of(plain)
    if not shape.kinds & (_ACCEPTED.get(kind, frozenset({kind})) | {"anything"}):
        raise FilterTypeError(field=term._path, declared_as=str(shape), value=value, hint=_hint(term, shape))
    if shape.choices is not None and not free and plain not in shape.choices:
        raise FilterTypeError(field=term._path, declared_as=str(shape), value=value)
    return str(plain) if isinstance(plain, UUID) else cast("Value", plain)


def ordered(term: Term, value: Any) -> Ordered:
    """The value as F takes it in an order comparison, which strings and booleans don't have."""
    plain = checked(term, value)
    if not term._shape.kinds & _ORDERED:
        raise FilterTypeError(
            field=term._path,
            declared_as=str(term._shape),
            value=value,
            problem="which has no order",
            hint="compare it with == or in_",
        )
    return cast("Ordered", plain)


def _kind_of(value: object) -> Kind:
    kinds: list[tuple[type, Kind]] = [
        (bool, "bool"),
        (str, "str"),
        (int, "int"),
        (float, "float"),
        (datetime, "datetime"),
        (date, "date"),
        (UUID, "UUID"),
    ]
    return next((kind for parent, kind in kinds if isinstance(value, parent)), "object")


def _hint(term: Term, shape: Shape) -> str:
    if shape.model is not None:
        return f"compare one of its fields: field({term!r}).inside.{next(iter(members(shape.model)), 'name')}"
    return ""
