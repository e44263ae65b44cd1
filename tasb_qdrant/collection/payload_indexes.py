"""Payload indexes are made where they hold what is stored: an index over values of another type finds none of them,
and refuses every passage that comes later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tasb_qdrant.collection.index_types import INDEX_OF, TypeCheck
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.schema import index_conflicts
from tasb_qdrant.errors import IndexMismatchError, InvalidPassageError, RequestRefusedError
from tasb_qdrant.records.path import parse_path, top_level_path
from tasb_qdrant.settings import IndexType

PAGE: Final = 1_000
"""Passages whose values are looked at in one request."""


def check_indexes(collection: Collection, wanted: Mapping[str, IndexType]) -> dict[str, IndexType]:
    """Those of the indexes wanted that aren't there. Raises RequestRefusedError where one has another type, or where
    there would be more than the server allows."""
    there = collection.indexes()
    place = f"{collection.location}, collection {collection.name!r}"
    collection.limits.check_indexes(there, wanted, place=place)
    for field, is_, asked in index_conflicts(there, wanted):
        raise RequestRefusedError(
            f"{collection.location}: field {field!r} of collection {collection.name!r} is indexed as {is_}, not as "
            f"{asked}; ask for {field}:{is_}, or drop that index first: "
            f"tasb-qdrant collection index drop {field} --collection {collection.name}"
        )
    return {field: kind for field, kind in wanted.items() if field not in there}


def check_stored(
    collection: Collection,
    wanted: Mapping[str, IndexType],
    *,
    most: int | None = None,
    on_page: Callable[[int], None] | None = None,
) -> dict[str, IndexMismatchError]:
    """The indexes that would not hold what is stored, each with its first misfit. All passages are looked at, or the
    first `most`, with nothing but these fields read; `on_page` gets the number of each page."""
    found: dict[str, IndexMismatchError] = {}
    checks = {field: (kind, TypeCheck({field: kind})) for field, kind in wanted.items()}
    keys = collection.keys
    fields = tuple(dict.fromkeys([top_level_path(keys.id), *(_outermost(field) for field in wanted)]))
    start, seen = None, 0
    limit = min(PAGE, collection.limits.page or PAGE, most or PAGE)
    while checks and (most is None or seen < most):
        page = collection.reads.scroll(start=start, limit=limit, payload=fields)
        for point in page.points:
            payload = point.payload or {}
            for field, (kind, check) in list(checks.items()):
                if (problem := _problem(check, payload)) is not None:
                    passage_id = str(payload.get(keys.id, point.id))
                    fitting = INDEX_OF.get(type(payload.get(field)))
                    found[field] = IndexMismatchError(
                        collection.name,
                        field=field,
                        index_type=kind,
                        passage_id=passage_id,
                        problem=problem,
                        fitting=fitting,
                    )
                    del checks[field]
        seen += len(page.points)
        if on_page is not None:
            on_page(len(page.points))
        if (start := page.following) is None:
            break
    return found


def _problem(check: TypeCheck, payload: Mapping[str, object]) -> str | None:
    try:
        misfit = check.misfit(payload)
    except InvalidPassageError as error:  # the path itself doesn't lead into this payload
        return error.reason
    return None if misfit is None else f"the value {misfit.shown}"


def _outermost(field: str) -> str:
    """The field at the top of the payload that the path begins in, as Qdrant spells it."""
    return top_level_path(parse_path(field)[0].name)
