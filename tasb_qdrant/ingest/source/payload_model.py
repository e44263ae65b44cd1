"""A payload model at the door: passages whose payload isn't an instance of it are rejected."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import orjson

from tasb_qdrant.errors import PayloadInvalidError, SettingsError
from tasb_qdrant.filters import indexes_of, validate_payload
from tasb_qdrant.ingest.read.around import ReaderAround
from tasb_qdrant.ingest.read.windows import PassageReader
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.settings import CollectionSettings, IndexType

if TYPE_CHECKING:
    from pydantic import BaseModel


class ModelledPassages(ReaderAround):
    """The passages of a reader whose payload is an instance of `model`; the others go to `on_reject`."""

    def __init__(self, passages: PassageReader, model: type[BaseModel], *, on_reject: Callable[[Reject], None]) -> None:
        super().__init__(passages)
        self._model, self._on_reject = model, on_reject

    def __iter__(self) -> Iterator[Passage]:
        refused: tuple[str, int] | None = None
        for passage in self._passages:
            if (place := (self.source, self.line)) == refused:
                continue  # another part of the same document
            try:
                validate_payload(self._model, passage.payload, passage_id=passage.id)
            except PayloadInvalidError as error:
                refused = place
                self._on_reject(Reject(source=self.source, line=self.line, reason=str(error)))
                continue
            yield passage


@contextmanager
def checked_by(
    opened: AbstractContextManager[PassageReader],
    model: type[BaseModel] | None,
    on_reject: Callable[[Reject], None],
) -> Iterator[PassageReader]:
    """The opened source, its payloads checked if there is a model."""
    with opened as passages:
        yield passages if model is None else ModelledPassages(passages, model, on_reject=on_reject)


def with_indexes_of(model: type[BaseModel] | None, settings: CollectionSettings) -> CollectionSettings:
    """The settings with the indexes that the model asks for, too. Raises SettingsError if the two contradict."""
    if model is None:
        return settings
    wanted: Mapping[str, IndexType] = indexes_of(model)
    for name, kind in wanted.items():
        if (given := settings.indexes.get(name, kind)) != kind:
            raise SettingsError(
                f"field {name!r} is to be indexed as {given}, and {model.__name__} says {kind}; leave one of them out"
            )
    return settings.model_copy(update={"indexes": {**wanted, **settings.indexes}})


def identified(model: type[BaseModel]) -> str:
    """The model's name and a digest of its schema: a resumed run must have the same."""
    schema = orjson.dumps(model.model_json_schema(), option=orjson.OPT_SORT_KEYS)
    return f"{model.__module__}:{model.__qualname__} ({hashlib.sha256(schema).hexdigest()[:12]})"
