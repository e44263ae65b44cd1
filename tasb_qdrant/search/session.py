"""An open collection and its encoder: what every search needs, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tasb_qdrant.cache import Cache
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import FoundPoint
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import Encoder, load_encoder, named_by
from tasb_qdrant.search.hits import HitMaker, OnInvalid
from tasb_qdrant.search.lexical import LexicalQueries
from tasb_qdrant.search.where import WhereChecker
from tasb_qdrant.settings import StoreSettings

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoder: one that is loaded, or where to load it from and how."""

    model: str | Path | None = None
    revision: str | None = None
    allow_pickle: bool = False
    device: str = "auto"
    precision: str = "auto"
    loaded: Encoder | None = None


@dataclass(frozen=True, slots=True)
class Session(Generic[T]):
    """What the searchers share. `cache` has the points that were found, by everything that was asked."""

    collection: OpenCollection
    encoder: Encoder
    where: WhereChecker
    hits: HitMaker[T]
    lexical: LexicalQueries
    cache: Cache[list[FoundPoint]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return (*self.collection.notes, *self.encoder.notes)


def open_session(
    name: str,
    settings: StoreSettings,
    *,
    encoder: EncoderChoice,
    payload: type[BaseModel] | None,
    on_invalid: OnInvalid,
    cache: Cache[list[FoundPoint]],
) -> Session[Any]:
    """Connects, loads the encoder that the contract names, or checks the one given against it.

    Raises CollectionError, ModelError and their kinds; then nothing stays open.
    """
    collection = open_existing(name, settings)
    try:
        model, revision = encoder.model, encoder.revision
        if model is None:
            model, revision = named_by(collection.contract, revision)
        loaded = encoder.loaded or load_encoder(
            model,
            revision=revision,
            device=encoder.device,
            precision=encoder.precision,
            allow_pickle=encoder.allow_pickle,
        )
        check_contract(name, collection.contract, loaded.contract)
        return Session(
            collection=collection,
            encoder=loaded,
            where=WhereChecker(collection.keys),
            hits=HitMaker(collection.keys, model=payload, on_invalid=on_invalid),
            lexical=LexicalQueries(collection),
            cache=cache,
        )
    except BaseException:
        collection.close()
        raise
