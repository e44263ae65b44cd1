"""An open collection and its encoder: what every search needs, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from tasb_qdrant.cache import TTL, Cache
from tasb_qdrant.collection.open import OpenOptions, Place, open_at, place_of
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.keywords import chosen
from tasb_qdrant.search.hits import HitMaker, OnInvalid
from tasb_qdrant.search.lexical import LexicalQueries
from tasb_qdrant.search.where import WhereChecker

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")


class SearcherOptions(OpenOptions, EncoderOptions, total=False):
    """Where a searcher finds its collection, what encodes its queries, and how it answers."""

    on_invalid: OnInvalid
    """What happens to a payload that doesn't validate: "raise" PayloadInvalidError, or "keep" it as a mapping."""

    cache_size: int
    """Answers that are kept for queries asked again with the same options; 0, the default, keeps none."""

    cache_ttl: float
    """Seconds after which a kept answer is forgotten; 300 by default."""


@dataclass(frozen=True, slots=True)
class Session(Generic[T]):
    """What the searchers share. `cache` has the points that were found, by everything that was asked."""

    collection: OpenCollection
    reads: ReadSteps
    encoder: Encoder
    where: WhereChecker
    hits: HitMaker[T]
    lexical: LexicalQueries
    cache: Cache[list[ScoredPoint]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return (*self.collection.notes, *self.encoder.notes)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is opened from, as far as it can be checked before."""

    name: str
    place: Place
    encoder: EncoderChoice
    payload: type[BaseModel] | None
    on_invalid: OnInvalid
    cache: Cache[list[ScoredPoint]]

    @classmethod
    def of(cls, name: str, payload: type[BaseModel] | None, options: SearcherOptions) -> Self:
        """Raises SettingsError."""
        return cls(
            name,
            place_of(chosen(OpenOptions, options)),
            EncoderChoice(**chosen(EncoderOptions, options)),
            payload,
            options.get("on_invalid", "raise"),
            Cache(options.get("cache_size", 0), ttl=options.get("cache_ttl", TTL)),
        )

    def open(self) -> Session[Any]:
        """Connects, loads the encoder that the contract names, or checks the one given against it.

        Raises CollectionError, ModelError and their kinds; then nothing stays open.
        """
        collection = open_at(self.name, self.place)
        try:
            encoder = self.encoder.load(collection.contract)
            check_contract(self.name, collection.contract, encoder.contract)
            reads = collection.reads.steps

            def notes() -> tuple[str, ...]:
                return (*collection.notes, *encoder.notes)

            return Session(
                collection=collection,
                reads=reads,
                encoder=encoder,
                where=WhereChecker(collection.keys, reads),
                hits=HitMaker(collection.keys, model=self.payload, on_invalid=self.on_invalid, notes=notes),
                lexical=LexicalQueries(collection),
                cache=self.cache,
            )
        except BaseException:
            collection.close()
            raise
