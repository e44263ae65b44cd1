"""Our filters as Qdrant's, translated so that every store and index gives them the same meaning.

What makes that more than a renaming (each measured on Qdrant 1.16.3, 1.17.0 and the embedded 0.9):
a match on 1 finds 1.0 or not depending on index and version; an integer index on a server cuts the
fraction off a bound; `is_null` and `is_empty` come in two forms of which one each changes its answer
with an index; a missing field has no count on servers, and 0 in the embedded store. Inside an element of
a list, both forms of `is_empty` change with an index, and a server takes "any of these words" for a search
of characters; the index of a text in such elements finds phrases that run from one into the next. What is
done about places is in places.py.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeGuard

from qdrant_client import models

from tasb_qdrant.collection.reads.many import LONG, OneOf
from tasb_qdrant.collection.reads.places import place_condition
from tasb_qdrant.errors import FilterError
from tasb_qdrant.filters import Filter
from tasb_qdrant.filters.conditions import (
    Between,
    Compare,
    Contains,
    ContainsAny,
    ContainsPhrase,
    Count,
    Equals,
    Exists,
    In,
    IsEmpty,
    IsNull,
    Leaf,
    Order,
    Prefix,
    Substring,
)
from tasb_qdrant.filters.nodes import And, AnyElement, AtLeast, Ids, Not, Or
from tasb_qdrant.filters.values import EXACT, Scalar
from tasb_qdrant.records import IntegerIds, point_id
from tasb_qdrant.records.path import canonical_path, parse_path, qdrant_path, write_path
from tasb_qdrant.settings import IndexType

_OF_WORDS = "LMN"
"""Letters, marks on them, and numbers, by the first letter of their Unicode category."""


def to_qdrant(
    where: Filter,
    *,
    indexes: Mapping[str, IndexType] | None = None,
    integer_ids: IntegerIds = "u53",
    floats: Mapping[str, frozenset[float]] | None = None,
) -> models.Filter:
    """The same filter for qdrant-client. Raises FilterError for an order of strings.

    `indexes` changes no meaning: knowing that a field is indexed as integer, long lists become one
    lookup instead of one range a value. `integer_ids` says which passage ids are integers as point ids. `floats` are
    fields without such an index, and the whole numbers that they hold as floats: lists are looked up there, too.
    """
    integers = frozenset(canonical_path(field) for field, kind in (indexes or {}).items() if kind == "integer")
    condition = _condition(where, _Scope(integers, integer_ids, floats or {}))
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where in a payload a condition looks: fields indexed as integers, which passage ids are
    integers, whole numbers that are stored as floats, and the list whose elements it is about."""

    integers: frozenset[str]
    integer_ids: IntegerIds
    floats: Mapping[str, frozenset[float]]
    element_of: str = ""

    def is_integer(self, field: str) -> bool:
        return f"{self.element_of}{field}" in self.integers

    def inside(self, field: str) -> _Scope:
        return _Scope(self.integers, self.integer_ids, self.floats, f"{self.element_of}{field}[].")

    def floats_in(self, field: str) -> frozenset[float] | None:
        """The whole numbers that the field holds as floats; None if that isn't known."""
        return self.floats.get(f"{self.element_of}{field}")


def _condition(where: Filter, at: _Scope) -> models.Condition:
    match where:
        case And(operands):
            return models.Filter(must=[_condition(each, at) for each in operands])
        case Or(operands):
            return models.Filter(should=[_condition(each, at) for each in operands])
        case Not(operand):
            return models.Filter(must_not=[_condition(operand, at)])
        case AtLeast(operands, count):
            conditions = [_condition(each, at) for each in operands]
            return models.Filter(min_should=models.MinShould(conditions=conditions, min_count=count))
        case AnyElement(field, operand):
            return _nested(qdrant_path(field), _condition(operand, at.inside(field)))
        case Ids(ids):
            return models.HasIdCondition(has_id=list(dict.fromkeys(point_id(each, at.integer_ids) for each in ids)))
    if isinstance(where, Leaf):
        return _leaf(where, qdrant_path(where.field), at)
    raise FilterError(f"{type(where).__name__} isn't a filter of this package")


def _nested(key: str, condition: models.Condition) -> models.Condition:
    whole = condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])
    return models.NestedCondition(nested=models.Nested(key=key, filter=whole))


def _leaf(where: Leaf, key: str, at: _Scope) -> models.Condition:
    match where:
        case Equals(field, value):
            return _any([_equal(key, value, integer=at.is_integer(field))])
        case In(field, values):
            return _one_of(key, values, integer=at.is_integer(field), floats=at.floats_in(field))
        case Compare(_, order, value):
            return _ordered(key, order, value)
        case Between(_, low, high):
            return _between(key, low, high)
        case Exists():
            return models.Filter(must_not=[_empty(key, at)])
        case IsEmpty():
            return _empty(key, at)
        case IsNull():
            # IsNullCondition misses the null inside an array on servers, unless the field is indexed.
            return models.FieldCondition(key=key, is_null=True)
        case Count(_, low, high):
            return _counted(key, low, high, at)
        case Contains(_, text):
            return models.FieldCondition(key=key, match=models.MatchText(text=text))
        case ContainsAny(_, text):
            return _any_word(key, text, at)
        case ContainsPhrase(field, text):
            return _phrase(field, text)
        case Prefix(_, text):
            return models.FieldCondition(key=key, match=models.MatchPrefix(prefix=text))
        case Substring(_, text):
            return models.FieldCondition(key=key, match=models.MatchSubstring(substring=text))
    return place_condition(where, key)


def _empty(key: str, at: _Scope) -> models.Condition:
    if at.element_of:
        # An index would be asked for passages without any such value, when one element without it is meant.
        return models.Filter(must_not=[models.FieldCondition(key=key, values_count=models.ValuesCount(gte=1))])
    # FieldCondition(is_empty=True) judges authors[].name by its first element, unless it is indexed.
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _counted(key: str, low: int, high: int | None, at: _Scope) -> models.Condition:
    counted = models.FieldCondition(key=key, values_count=models.ValuesCount(gte=low, lte=high))
    return counted if low else models.Filter(should=[counted, _empty(key, at)])


def _any_word(key: str, text: str, at: _Scope) -> models.Condition:
    if not at.element_of:
        return models.FieldCondition(key=key, match=models.MatchTextAny(text_any=text))
    # Inside an element a server takes MatchTextAny for a search of characters, index or not.
    words = "".join(each if unicodedata.category(each)[0] in _OF_WORDS else " " for each in text).split()
    return _any([models.FieldCondition(key=key, match=models.MatchText(text=word)) for word in words])


def _phrase(field: str, text: str) -> models.Condition:
    """In each object of a list by itself: the index of authors[].bio runs the bios of a passage together."""
    segments = parse_path(field)
    lists = [i for i, segment in enumerate(segments[:-1]) if segment.elements[-1:] == (None,)]
    if not lists:
        return models.FieldCondition(key=qdrant_path(field), match=models.MatchPhrase(phrase=text))
    above, below = write_path(segments[: lists[-1] + 1]), write_path(segments[lists[-1] + 1 :])
    return _nested(qdrant_path(above.removesuffix("[]")), _phrase(below, text))


_NOTHING: Final = models.Filter(must_not=[models.Filter()])
"""Which no passage meets."""


def _any(conditions: Sequence[models.Condition]) -> models.Condition:
    return conditions[0] if len(conditions) == 1 else models.Filter(should=list(conditions))


def _match(key: str, value: str | bool | int) -> models.Condition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _range(key: str, **bounds: float) -> models.Condition:
    return models.FieldCondition(key=key, range=models.Range(**bounds))


def _equal(key: str, value: Scalar, *, integer: bool) -> models.Condition:
    if isinstance(value, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=value, lte=value))
    if isinstance(value, str | bool):
        return _match(key, value)
    if isinstance(value, int) and (integer or abs(value) > EXACT):
        return _match(key, value)
    # A range, since a match on 1 finds no 1.0, and a match can't have a fraction.
    return _between(key, value, value)


def long_numbers(values: Sequence[Scalar]) -> bool:
    """Whether it is a long list with whole numbers that ranges, and no lookup, would find."""
    return len(values) > LONG and any(map(_is_small, values))


def misses(leaf: In) -> models.Filter:
    """What a lookup of these numbers may miss: numbers among them that are none of them as integers."""
    key = qdrant_path(leaf.field)
    exact = [int(value) for value in leaf.values if _is_small(value)]  # type: ignore[arg-type]  # numbers
    found = models.FieldCondition(key=key, match=models.MatchAny(any=exact))
    # One element of a list may be found, and another one missed.
    return models.Filter(
        must=[_range(key, gte=float(min(exact)), lte=float(max(exact)))], must_not=None if "[]" in key else [found]
    )


def _is_small(value: Scalar) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= EXACT and value == int(value)
    )


def _one_of(key: str, values: Sequence[Scalar], *, integer: bool, floats: frozenset[float] | None) -> models.Condition:
    strings = [value for value in values if isinstance(value, str)]
    if strings:
        return models.FieldCondition(key=key, match=models.MatchAny(any=strings))
    exact: list[int] = []
    others: list[Scalar] = []
    if floats is not None and len(values) > LONG:
        exact = [int(value) for value in values if _is_small(value)]  # type: ignore[arg-type]  # small numbers
        others = sorted(floats.intersection(exact))
        values = [value for value in values if not _is_small(value)]
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and (integer or abs(value) > EXACT):
            exact.append(value)
        else:
            others.append(value)
    conditions: list[models.Condition] = []
    if exact:
        conditions.append(models.FieldCondition(key=key, match=models.MatchAny(any=exact)))
    if len(others) > LONG and not isinstance(others[0], bool):
        conditions.append(OneOf.of(key, others))  # type: ignore[arg-type]  # of one kind, and no strings
    else:
        conditions += [_equal(key, value, integer=integer) for value in others]
    return _any(conditions) if conditions else _NOTHING


_BOUND: dict[Order, str] = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def _ordered(key: str, order: Order, value: int | float | str | datetime) -> models.Condition:
    """One side of a value, right on an integer index too, where servers cut 2020.5 to 2020.

    `>= 2020.5` adds `> 2020`, which cuts 2020 off again; `> -2020.5` adds `or >= -2020`, which brings
    -2020 back. Where fractions are kept, neither changes anything.
    """
    if isinstance(value, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(**{_BOUND[order]: value}))
    if isinstance(value, int) and abs(value) > EXACT:
        listed, bound = _from(value + (order == ">")) if order in (">", ">=") else _up_to(value - (order == "<"))
        return _any([*_listed(key, listed), _range(key, **bound)])
    value = _number(key, value)
    condition = _range(key, **{_BOUND[order]: value})
    if not _has_fraction(value):
        return condition
    below, above = float(math.floor(value)), float(math.ceil(value))
    match order:
        case ">=":
            return models.Filter(must=[condition, _range(key, gt=below)])
        case "<=":
            return models.Filter(must=[condition, _range(key, lt=above)])
        case ">":
            return models.Filter(should=[condition, _range(key, gte=above)])
        case "<":
            return models.Filter(should=[condition, _range(key, lte=below)])


def _between(key: str, low: int | float | str | datetime, high: int | float | str | datetime) -> models.Condition:
    """Both sides for one element of an array; see `_ordered` for bounds with a fraction."""
    if isinstance(low, datetime) and isinstance(high, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(gte=low, lte=high))
    if isinstance(low, datetime) or isinstance(high, datetime):
        raise FilterError(f"{key}: between takes two numbers or two datetimes, got {low!r} and {high!r}")
    if isinstance(low, str) or isinstance(high, str):
        raise FilterError(_no_order(key, low if isinstance(low, str) else high))
    below, least = _from(low) if _is_large(low) else (range(0), {"gte": float(low)})
    above, most = _up_to(high) if _is_large(high) else (range(0), {"lte": float(high)})
    listed = sorted({value for value in (*below, *above) if low <= value <= high})
    if min(most.values()) < max(least.values()):  # what lies between is listed whole
        return _any(_listed(key, listed))
    condition = _range(key, **least, **most)
    if _has_fraction(low) or _has_fraction(high):
        whole = {"gt": float(math.floor(low))} if _has_fraction(low) else least
        whole |= {"lt": float(math.ceil(high))} if _has_fraction(high) else most
        return models.Filter(must=[_any([*_listed(key, listed), condition]), _range(key, **whole)])
    return _any([*_listed(key, listed), condition])


def _is_large(value: float) -> TypeGuard[int]:
    """Whether it is a whole number that the stores would round: they compare ranges as 64-bit floats."""
    return isinstance(value, int) and abs(value) > EXACT


def _from(least: int) -> tuple[range, dict[str, float]]:
    """Whole numbers from `least` on, which is beyond EXACT: those that are listed, and the range from which on no
    smaller one is rounded to what lies in it. A list has at most 2,048, and is looked up."""
    if least >= 2**63:
        return range(0), {"gt": 2.0**63}
    nearest = float(least)
    start = nearest if int(nearest) >= least else math.nextafter(nearest, math.inf)
    if 2 * (int(start) - least) >= int(start) - int(math.nextafter(start, -math.inf)):
        return range(least, min(int(start), 2**63)), {"gte": start}
    return range(least, min(int(math.nextafter(start, math.inf)), 2**63)), {"gt": start}


def _up_to(most: int) -> tuple[range, dict[str, float]]:
    """The same for those up to `most`."""
    if most < -(2**63):
        return range(0), {"lt": -(2.0**63)}
    nearest = float(most)
    start = nearest if int(nearest) <= most else math.nextafter(nearest, -math.inf)
    if 2 * (most - int(start)) >= int(math.nextafter(start, math.inf)) - int(start):
        return range(max(int(start) + 1, -(2**63)), most + 1), {"lte": start}
    return range(max(int(math.nextafter(start, -math.inf)) + 1, -(2**63)), most + 1), {"lt": start}


def _listed(key: str, values: Sequence[int]) -> list[models.Condition]:
    return [models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))] if values else []


def _has_fraction(value: float) -> bool:
    return not float(value).is_integer()


def _number(key: str, value: int | float | str) -> float:
    if isinstance(value, str):
        raise FilterError(_no_order(key, value))
    return float(value)


def _no_order(key: str, value: object) -> str:
    return f'{key}: strings have no order in Qdrant, got "{value}"; write numbers and dates without quotes'
