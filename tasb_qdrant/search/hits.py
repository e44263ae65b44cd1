"""From points to hits, their payload an instance of the caller's model where there is one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from typing_extensions import TypeVar

from tasb_qdrant.collection.reads.questions import ScoredPoint, Selection
from tasb_qdrant.errors import PayloadInvalidError, SettingsError
from tasb_qdrant.records import Hit, Passage
from tasb_qdrant.settings import PayloadKeys

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T", default=dict[str, Any])

OnInvalid: TypeAlias = Literal["raise", "keep"]


class Hits(list[Hit[T]], Generic[T]):
    """Hits, best first. `cached` says that they come from the query cache, not from the collection."""

    __slots__ = ("cached",)

    def __init__(self, hits: Sequence[Hit[T]] = (), *, cached: bool = False) -> None:
        super().__init__(hits)
        self.cached = cached


class HitMaker(Generic[T]):
    """Makes hits of points, under the payload's key names.

    With a `model`, a payload that doesn't validate raises PayloadInvalidError, or with `on_invalid` "keep" stays
    a mapping, marked.
    """

    def __init__(self, keys: PayloadKeys, *, model: type[BaseModel] | None, on_invalid: OnInvalid) -> None:
        if on_invalid not in ("raise", "keep"):
            raise SettingsError(f"on_invalid is 'raise' or 'keep', got {on_invalid!r}")
        self._keys, self._model, self._keep = keys, model, on_invalid == "keep"

    def fields(self, chosen: Selection, *, text: bool = True) -> Selection:
        """The fields to ask for: the id always, title and text with `text`.

        Raises SettingsError where the model needs all of them.
        """
        if chosen is True and text:
            return True
        if self._model is not None:
            raise SettingsError(
                f"with_payload and with_text must be True where hits have payloads of {self._model.__name__}: it needs "
                "every field"
            )
        if chosen is True:
            raise SettingsError("with_text=False goes with with_payload=False or a list of fields; give one of these")
        keys = self._keys
        told = [keys.id, keys.text, keys.title] if text else [keys.id]
        return tuple(dict.fromkeys([*told, *(chosen or ())]))

    def hits(self, points: Sequence[ScoredPoint], *, cached: bool = False) -> Hits[T]:
        """A hit a point. From the cache they are copies: callers may change what they get."""
        return Hits([self.hit(copy.deepcopy(point) if cached else point) for point in points], cached=cached)

    def hit(self, point: ScoredPoint) -> Hit[T]:
        """The point as a hit. A point that another tool wrote may lack id or text."""
        rest = dict(point.payload or {})
        keys = self._keys
        passage_id, text, title = (rest.pop(key, None) for key in (keys.id, keys.text, keys.title))
        hit_id = str(point.id if passage_id is None else passage_id)
        payload, invalid = self._payload(rest, hit_id)
        return Hit(
            id=hit_id,
            score=point.score,
            text="" if text is None else str(text),
            title=None if title is None else str(title),
            payload=payload,
            vector=point.vector,
            invalid=invalid,
        )

    def of_passage(self, passage: Passage, score: float) -> Hit[T]:
        """A passage that needn't be in the collection, as a hit."""
        payload, invalid = self._payload(dict(passage.payload), passage.id)
        return Hit(passage.id, score, passage.text, passage.title, payload, invalid=invalid)

    def check(self, fields: Mapping[str, Any], passage_id: str) -> None:
        """Raises PayloadInvalidError if there is a model, and the payload isn't an instance of it."""
        if self._model is not None:
            from tasb_qdrant.filters import validate_payload

            validate_payload(self._model, fields, passage_id=passage_id)

    @property
    def is_typed(self) -> bool:
        """Whether there is a model."""
        return self._model is not None

    def _payload(self, fields: Mapping[str, Any], hit_id: str) -> tuple[Any, str]:
        if self._model is None:
            return fields, ""
        from tasb_qdrant.filters import validate_payload

        try:
            return validate_payload(self._model, fields, passage_id=hit_id), ""
        except PayloadInvalidError as error:
            if not self._keep:
                raise
            return fields, str(error)
