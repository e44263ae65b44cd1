"""A passage as a flat payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records import Hit, Passage
from tasb_qdrant.settings import PayloadKeys

if TYPE_CHECKING:
    from tasb_qdrant.collection.reads.questions import ScoredPoint

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def to_payload(passage: Passage, keys: PayloadKeys) -> dict[str, Any]:
    """Id, text, title and the passage's own fields side by side, so that filters are plain field names.

    Raises InvalidPassageError when a field has the name of one of the three.
    """
    check_names(passage.payload, keys)
    payload = {name: _plain(value) for name, value in passage.payload.items()}
    payload[keys.id] = passage.id
    payload[keys.text] = passage.text
    if passage.title is not None:
        payload[keys.title] = passage.title
    return payload


def to_passage(payload: dict[str, Any], keys: PayloadKeys) -> Passage:
    """The passage whose payload `to_payload` made; `payload` is used up."""
    return Passage(
        id=payload.pop(keys.id), text=payload.pop(keys.text), title=payload.pop(keys.title, None), payload=payload
    )


def check_names(fields: Mapping[str, Any], keys: PayloadKeys) -> None:
    """Raises InvalidPassageError when a field has the name of the id, the text or the title."""
    for part, key in (("id", keys.id), ("text", keys.text), ("title", keys.title)):
        if key in fields:
            raise InvalidPassageError(
                f"payload field {key!r} has the name under which the passage's {part} is stored; "
                f"rename the field, or store the {part} under another name with --{part}-key",
                field="payload",
            )


def _plain(value: Any) -> Any:
    """The same in dicts, lists and Python's own scalars: each store takes other subclasses of them."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return next(base(value) for base in (int, float, str) if isinstance(value, base))


def plain_payload(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in dicts, lists and Python's own scalars."""
    return {name: _plain(value) for name, value in fields.items()}


def hit_of(point: ScoredPoint, keys: PayloadKeys) -> Hit:
    """The point as a hit. One that another tool wrote may lack id or text."""
    rest = dict(point.payload or {})
    passage_id, text, title = (rest.pop(key, None) for key in (keys.id, keys.text, keys.title))
    return Hit(
        id=str(point.id if passage_id is None else passage_id),
        score=point.score,
        text="" if text is None else str(text),
        title=None if title is None else str(title),
        payload=rest,
        vector=point.vector,
    )


def plain_id(point_id: Any) -> int | str:
    """int, or canonical UUID string: the stores give UUIDs in forms of their own."""
    return point_id if isinstance(point_id, int) else str(point_id)
