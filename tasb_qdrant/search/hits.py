"""From points to hits, their payload an instance of the caller's model where there is one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, get_args

from typing_extensions import TypeVar

from tasb_qdrant.collection.reads.questions import ScoredPoint, Selection
from tasb_qdrant.errors import PayloadInvalidError, SettingsError
from tasb_qdrant.records import Hit, HitGroup, Passage
from tasb_qdrant.records.hit import hits_table
from tasb_qdrant.records.html import table
from tasb_qdrant.records.path import top_level_path
from tasb_qdrant.records.timings import Timings
from tasb_qdrant.settings import PayloadKeys, checks

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler
    from pydantic_core import CoreSchema

T = TypeVar("T", default=dict[str, Any])

NO_TIME: Final = Timings(0.0, 0.0, 0.0)

OnInvalid: TypeAlias = Literal["raise", "keep"]


class Hits(list[Hit[T]], Generic[T]):
    """Hits, best first. `cached` says that they come from the query cache, not from the collection.

    `warnings` are of this search: a filter that looks like a slip. `notes` say what was chosen on the person's behalf
    when the searcher was opened, a sentence each. `timings` say where the time went; those of an empty rerank are 0.
    """

    __slots__ = ("cached", "notes", "timings", "warnings")

    def __init__(
        self,
        hits: Sequence[Hit[T]] = (),
        *,
        cached: bool = False,
        warnings: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(hits)
        self.cached = cached
        self.warnings = tuple(warnings)
        self.notes = tuple(notes)
        self.timings = NO_TIME

    def _repr_html_(self) -> str:
        """For notebooks."""
        return hits_table(self, after=self.warnings) if self else "<p>No hits.</p>" + table([], [], after=self.warnings)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """For pydantic and FastAPI a list of hits."""
        return _as_list_of(Hit, cls, source, handler)


class HitGroups(list[HitGroup[T]], Generic[T]):
    """Groups of hits, the one with the best hit first; `warnings`, `notes` and `timings` as in `Hits`."""

    __slots__ = ("notes", "timings", "warnings")

    def __init__(
        self, groups: Sequence[HitGroup[T]] = (), *, warnings: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> None:
        super().__init__(groups)
        self.warnings = tuple(warnings)
        self.notes = tuple(notes)
        self.timings = NO_TIME

    def _repr_html_(self) -> str:
        """For notebooks."""
        return "".join(group._repr_html_() for group in self) or "<p>No hits.</p>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """For pydantic and FastAPI a list of groups."""
        return _as_list_of(HitGroup, cls, source, handler)


def _as_list_of(item: Any, made: Callable[[Any], Any], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema of a list of `item[T]`, for the T of `source`."""
    from pydantic_core import core_schema

    payload = get_args(source) or (dict[str, Any],)
    found = handler.generate_schema(list[item[payload[0]]])
    return core_schema.no_info_after_validator_function(made, found)


class HitMaker(Generic[T]):
    """Makes hits of points, under the payload's key names.

    With a `model`, a payload that doesn't validate raises PayloadInvalidError, or with `on_invalid` "keep" stays
    a mapping, marked.
    """

    def __init__(
        self,
        keys: PayloadKeys,
        *,
        model: type[BaseModel] | None,
        on_invalid: OnInvalid,
        notes: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.notes = notes
        checks.choice("on_invalid", on_invalid, get_args(OnInvalid))
        self._keys, self._model, self._keep = keys, model, on_invalid == "keep"

    def fields(self, chosen: Selection, *, text: bool = True) -> Selection:
        """The fields to ask for: the id always, title and text with `text`.

        Raises SettingsError where the model needs all of them.
        """
        text = checks.flag("with_text", text)
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
        told = [top_level_path(name) for name in ((keys.id, keys.text, keys.title) if text else (keys.id,))]
        return tuple(dict.fromkeys([*told, *(chosen or ())]))

    def hits(self, points: Sequence[ScoredPoint], *, cached: bool = False, warnings: Sequence[str] = ()) -> Hits[T]:
        """A hit a point. From the cache they are copies: callers may change what they get."""
        found = [self.hit(copy.deepcopy(point) if cached else point) for point in points]
        return Hits(found, cached=cached, warnings=warnings, notes=self.notes())

    def hit(self, point: ScoredPoint) -> Hit[T]:
        """The point as a hit. A point that another tool wrote may lack id or text."""
        rest = dict(point.payload or {})
        keys = self._keys
        passage_id, text, title = rest.pop(keys.id, None), rest.pop(keys.text, None), rest.pop(keys.title, None)
        hit_id = str(point.id if passage_id is None else passage_id)
        payload, invalid = self._payload(rest, hit_id)
        text, title = "" if text is None else str(text), None if title is None else str(title)
        return Hit(hit_id, point.score, text, title, payload, point.vector, invalid)

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
