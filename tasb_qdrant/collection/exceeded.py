"""What it means that a server's strict mode forbids something: before it is asked, and in its own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.errors import LimitExceededError

if TYPE_CHECKING:
    from qdrant_client import models


def check_number(setting: str, option: str, asked: float | None, most: float | None, *, place: str) -> None:
    """Raises LimitExceededError where the number is over its limit."""
    if asked is not None and most is not None and asked > most:
        raise number_refused(setting, option, asked, most, place=place)


def number_refused(setting: str, option: str, asked: float, most: float, *, place: str) -> LimitExceededError:
    """The error for a number over its limit."""
    return LimitExceededError(
        place,
        setting=setting,
        asked=asked,
        most=most,
        what=f"{option} is {asked:,g}",
        remedy=f"ask for {most:,g} or less",
    )


def exact_refused(place: str) -> LimitExceededError:
    """The error for an exact search where only the index may be used."""
    return LimitExceededError(
        place,
        setting="search_allow_exact",
        asked=None,
        most=None,
        what="an exact search was asked for",
        remedy="search without exact (--exact)",
    )


def filter_refused(setting: str, asked: int, most: int, *, place: str) -> LimitExceededError:
    what = f"the filter has {asked:,} conditions" if setting == "filter_max_conditions" else ""
    return LimitExceededError(
        place,
        setting=setting,
        asked=asked,
        most=most,
        what=what or f"a condition of the filter has {asked:,} values",
        remedy="ask with a smaller filter, several times if need be",
    )


def unindexed_refused(field: str, types: str, *, place: str) -> LimitExceededError:
    """The error for a filter on a field without the index that it needs."""
    kind = types.split(",")[0].split(" ")[0] or "keyword"
    return LimitExceededError(
        place,
        setting="unindexed_filtering_retrieve",
        asked=None,
        most=None,
        what=f"field {field!r} is filtered or grouped by without a payload index ({types})",
        remedy=f"make one (tasb-qdrant collection index add {field}:{kind})",
    )


_SETTINGS: Final = {
    "limit": "max_query_limit",
    "timeout": "max_timeout",
    "hnsw_ef": "search_max_hnsw_ef",
    "oversampling": "search_max_oversampling",
    "upsert limit": "upsert_max_batchsize",
}
_EXCEEDED: Final = re.compile(r'Limit exceeded ([\d.]+) > ([\d.]+) for \\?"(.+?)\\?"')
_CONDITIONS: Final = re.compile(r"(Filter condition|Condition size) limit reached \((\d+) > (\d+)\)")
_UNINDEXED: Final = re.compile(
    r'Index required but not found for \\?"(.+?)\\?" of one of the following types: \[(.+?)\]'
)


def limit_error(text: str, *, place: str) -> LimitExceededError | None:
    """The error for what a server says of its strict mode; None for anything else."""
    if match := _EXCEEDED.search(text):
        asked, most, option = float(match[1]), float(match[2]), match[3]
        return number_refused(_SETTINGS.get(option, option), option, asked, most, place=place)
    if match := _CONDITIONS.search(text):
        setting = "filter_max_conditions" if match[1].startswith("Filter") else "condition_max_size"
        return filter_refused(setting, int(match[2]), int(match[3]), place=place)
    if match := _UNINDEXED.search(text):
        return unindexed_refused(match[1], match[2], place=place)
    return exact_refused(place) if "Exact search disabled" in text else None


def condition_sizes(where: models.Filter) -> list[int]:
    """How many values each condition of a filter compares with, as servers count them: nested ones, too."""
    sizes: list[int] = []
    for part in (where.must, where.should, where.must_not, where.min_should and where.min_should.conditions):
        for condition in part if isinstance(part, list) else [] if part is None else [part]:
            inner: Any = getattr(getattr(condition, "nested", None), "filter", condition)
            sizes += condition_sizes(inner) if hasattr(inner, "must") else [_values(inner)]
    return sizes


def _values(condition: object) -> int:
    match = getattr(condition, "match", None)
    values = getattr(condition, "has_id", None) or getattr(match, "any", None) or getattr(match, "except_", None)
    return 0 if values is None else len(values)
