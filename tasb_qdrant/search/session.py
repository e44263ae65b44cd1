"""An open collection and its encoder: what every search needs, opened once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from tasb_qdrant.cache import TTL, Cache
from tasb_qdrant.collection.open import OpenOptions, Place, open_at, place_of
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.forks import REMEDY, Origin, keep
from tasb_qdrant.keywords import chosen
from tasb_qdrant.search.encoding import EncodingThread
from tasb_qdrant.search.hits import HitMaker, OnInvalid
from tasb_qdrant.search.lexical import LexicalQueries
from tasb_qdrant.search.where import WhereChecker
from tasb_qdrant.settings import StoreSettings
from tasb_qdrant.steps import NEVER, Deadline

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")

_REMEDY: Final = (
    "close it before the fork and open it in the process that uses it, as one process at a time can have it open; or "
    "use a server, which every process can (docs/workers.md)"
)


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
    encoding: EncodingThread = field(default_factory=EncodingThread)
    origin: Origin = field(default_factory=Origin)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return (*self.collection.notes, *self.encoder.notes)

    @property
    def document_field(self) -> str:
        """The payload field with the ids of documents, if their texts are split; else ""."""
        return "" if self.collection.split is None else self.collection.split.field

    @property
    def is_ready(self) -> bool:
        """Whether the encoder is loaded."""
        return not isinstance(self.encoder, LazyEncoder) or self.encoder.is_loaded

    def ready(self, deadline: Deadline = NEVER) -> Encoder:
        """The encoder itself, loaded now if it isn't yet. That happens once, and doesn't count for the deadline."""
        if not isinstance(self.encoder, LazyEncoder):
            return self.encoder
        with deadline.paused():
            return self.encoder.loaded()

    def close(self) -> None:
        """Close the collection; in a process that was forked since it was opened, nothing: it is the other's."""
        if self.origin.is_elsewhere:
            keep(self)
            return
        self.encoding.close()
        self.collection.close()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is opened from, as far as it can be checked before."""

    name: str
    place: Place
    encoder: EncoderChoice
    payload: type[BaseModel] | None
    on_invalid: OnInvalid
    cache: Cache[list[ScoredPoint]]
    origin: Origin = field(default_factory=Origin)

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

    def again(self) -> Self:
        """The same, in a process that was forked from the one in which it was opened. Its cache is empty: a lock of the
        other may have been held when this process was made.

        Raises ForkedError where that can't be: one process at a time has an embedded collection open, and an open
        store is the other process's.
        """
        given = not isinstance(self.place, StoreSettings)
        settings = self.place if isinstance(self.place, StoreSettings) else self.place.settings
        if given or settings.path is not None:
            self.origin.check(f"collection {self.name!r}", remedy=REMEDY if settings.path is None else _REMEDY)
        return replace(self, cache=self.cache.like(), origin=Origin())

    def open(self) -> Session[Any]:
        """Connects, and checks the encoder or the model given against the contract. The encoder is loaded once there
        is something to encode.

        Raises CollectionError, ModelError and their kinds; then nothing stays open.
        """
        collection = open_at(self.name, self.place)
        try:
            encoder = self.encoder.lazily(
                collection.contract,
                collection=self.name,
                check=partial(check_contract, self.name, collection.contract),
                location=collection.location,
            )
            reads = collection.reads.steps

            def notes() -> tuple[str, ...]:
                return (*collection.notes, *encoder.notes)

            return Session(
                collection=collection,
                reads=reads,
                encoder=encoder,
                where=WhereChecker(collection.keys, reads),
                hits=HitMaker(collection.keys, model=self.payload, on_invalid=self.on_invalid, notes=notes),
                lexical=LexicalQueries(collection, reads),
                cache=self.cache,
            )
        except BaseException:
            collection.close()
            raise
