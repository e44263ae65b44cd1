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

from qdrant_client import models

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
    where: Filter, *, indexes: Mapping[str, IndexType] | None = None, integer_ids: IntegerIds = "u53"
) -> models.Filter:
    """The same filter for qdrant-client. Raises FilterError for an order of strings.

    `indexes` changes no meaning: knowing that a field is indexed as integer, long lists become one
    lookup instead of one range a value. `integer_ids` says which passage ids are integers as point ids.
    """
    integers = frozenset(canonical_path(field) for field, kind in (indexes or {}).items() if kind == "integer")
    condition = _condition(where, _Scope(integers, integer_ids))
    return condition if isinstance(condition, models.Filter) else models.Filter(must=[condition])


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where in a payload a condition looks: fields indexed as integers, which passage ids are
    integers, and the list whose elements it is about."""

    integers: frozenset[str]
    integer_ids: IntegerIds
    element_of: str = ""

    def is_integer(self, field: str) -> bool:
        return f"{self.element_of}{field}" in self.integers

    def inside(self, field: str) -> _Scope:
        return _Scope(self.integers, self.integer_ids, f"{self.element_of}{field}[].")


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
            return _one_of(key, values, integer=at.is_integer(field))
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


def _one_of(key: str, values: Sequence[Scalar], *, integer: bool) -> models.Condition:
    strings = [value for value in values if isinstance(value, str)]
    if strings:
        return models.FieldCondition(key=key, match=models.MatchAny(any=strings))
    exact = [v for v in values if isinstance(v, int) and not isinstance(v, bool) and (integer or abs(v) > EXACT)]
    others = [v for v in values if v not in exact or isinstance(v, bool)] if exact else list(values)
    conditions = [_equal(key, value, integer=integer) for value in others]
    if exact:
        conditions.insert(0, models.FieldCondition(key=key, match=models.MatchAny(any=exact)))
    return _any(conditions)


_BOUND: dict[Order, str] = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def _ordered(key: str, order: Order, value: int | float | str | datetime) -> models.Condition:
    """One side of a value, right on an integer index too, where servers cut 2020.5 to 2020.

    `>= 2020.5` adds `> 2020`, which cuts 2020 off again; `> -2020.5` adds `or >= -2020`, which brings
    -2020 back. Where fractions are kept, neither changes anything.
    """
    if isinstance(value, datetime):
        return models.FieldCondition(key=key, range=models.DatetimeRange(**{_BOUND[order]: value}))
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
    low, high = _number(key, low), _number(key, high)
    condition = _range(key, gte=low, lte=high)
    if not _has_fraction(low) and not _has_fraction(high):
        return condition
    whole: dict[str, float] = {"gt": float(math.floor(low))} if _has_fraction(low) else {"gte": low}
    whole |= {"lt": float(math.ceil(high))} if _has_fraction(high) else {"lte": high}
    return models.Filter(must=[condition, _range(key, **whole)])


def _has_fraction(value: float) -> bool:
    return not float(value).is_integer()


def _number(key: str, value: int | float | str) -> float:
    if isinstance(value, str):
        raise FilterError(
            f'{key}: strings have no order in Qdrant, got "{value}"; write numbers and dates without quotes'
        )
    return float(value)
