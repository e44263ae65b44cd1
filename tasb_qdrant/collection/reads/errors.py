"""What the failure of a read means, where that is more than a failed request's."""

from __future__ import annotations

import re
from typing import Final

from tasb_qdrant.collection.exceeded import limit_error
from tasb_qdrant.errors import CollectionNotFoundError, RequestRefusedError

_NO_FACET_INDEX: Final = re.compile(r"No appropriate index for faceting: `(.+?)`\.")
_NO_RANGE_INDEX: Final = re.compile(r"No range index for `order_by` key: `(.+?)`\.")
_NO_COLLECTION: Final = re.compile(r"Collection `(.+?)` doesn't exist")


def gone(text: str, *, location: str) -> CollectionNotFoundError | None:
    """The error for a collection that was deleted after it was opened; None for anything else."""
    match = _NO_COLLECTION.search(text)
    return None if match is None else CollectionNotFoundError(match[1], location=location, available=None)


def no_facet_index(field: str, *, place: str) -> str:
    """Why the values of a field can't be counted."""
    return (
        f"{place}: values of {field!r} can be counted only where the field has an index for them; make one: "
        f"tasb-qdrant collection index add {field}:keyword (or integer, bool, uuid)"
    )


def explained(text: str, *, place: str) -> RequestRefusedError | None:
    """The error for what both stores refuse in the same words; None for anything else."""
    if match := _NO_FACET_INDEX.search(text):
        return RequestRefusedError(no_facet_index(match[1], place=place))
    if match := _NO_RANGE_INDEX.search(text):
        return RequestRefusedError(
            f"{place}: points can be ordered by {match[1]!r} only where the field has an index of numbers or dates; "
            f"make one: tasb-qdrant collection index add {match[1]}:integer (or float, datetime)"
        )
    return limit_error(text, place=place)
