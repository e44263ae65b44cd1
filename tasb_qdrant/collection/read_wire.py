"""A plain question to a store, and what turns questions into a store's own requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from tasb_qdrant.collection.protocol import OVERSAMPLING, PointId
from tasb_qdrant.collection.request import (
    FindOptions,
    Lexical,
    Nearest,
    OrderBy,
    ReadOptions,
    Recommended,
)
from tasb_qdrant.settings import Quantization

if TYPE_CHECKING:
    from qdrant_client import models

Plain: TypeAlias = Nearest | Lexical | Recommended
"""What every store answers by itself, in one list."""

Selection: TypeAlias = bool | tuple[str, ...]
"""Payload: all of it, none, or these fields."""

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard a store looks: `ignore_quantized` compares with the real vectors alone."""

    exact: bool
    hnsw_ef: int | None
    rescore: bool | None
    oversampling: float | None
    ignore_quantized: bool

    @classmethod
    def of(cls, options: FindOptions, quantization: Quantization) -> Effort:
        """What the options ask for, and our defaults for this kind of quantization where they ask for nothing."""
        factor = OVERSAMPLING.get(quantization)
        if factor is None or options.exact:
            return cls(options.exact, options.hnsw_ef, None, None, factor is not None)
        rescore = True if options.rescore is None else options.rescore
        return cls(False, options.hnsw_ef, rescore, options.oversampling or factor, False)


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """A plain question: the `limit` best points after the first `offset`."""

    ask: Plain
    limit: int
    where: models.Filter | None
    effort: Effort
    offset: int = 0
    threshold: float | None = None
    payload: Selection = False
    vectors: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ServerRequest:
    """A request to a server as bytes. `path` is gRPC's method, or a path over REST (GET without a body).

    `read` makes the answer of its bytes.
    """

    doing: str
    path: str
    body: bytes
    read: Callable[[bytes], Any]
    params: Mapping[str, str] | None = None


class Wire(Protocol[R_co]):
    """Makes the requests of one collection. Answers are read where they arrive: each has the type that is named."""

    def query(self, finds: Sequence[Find], read: ReadOptions) -> R_co:
        """list[list[FoundPoint]]."""
        ...

    def groups(self, find: Find, *, by: str, size: int, read: ReadOptions) -> R_co | None:
        """list[FoundGroup]; None where the store doesn't group."""
        ...

    def facet(self, field: str, *, where: models.Filter | None, limit: int, exact: bool, read: ReadOptions) -> R_co:
        """list[FacetCount]."""
        ...

    def scroll(
        self,
        *,
        where: models.Filter | None,
        start: PointId | None,
        order: OrderBy | None,
        limit: int,
        payload: Selection,
        vectors: bool,
        read: ReadOptions,
    ) -> R_co:
        """ScrollPage."""
        ...

    def retrieve(self, ids: Sequence[PointId], *, payload: Selection, vectors: bool, read: ReadOptions) -> R_co:
        """list[FoundPoint]."""
        ...

    def count(self, where: models.Filter | None, *, exact: bool, read: ReadOptions) -> R_co:
        """int."""
        ...

    def indexes(self) -> R_co:
        """dict[str, IndexType]."""
        ...
