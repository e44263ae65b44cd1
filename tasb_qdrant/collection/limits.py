"""What a store allows: read before a load, so that requests fit, and a load that can't fit never starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasb_qdrant.collection.exceeded import check_number, condition_sizes, exact_refused, filter_refused
from tasb_qdrant.collection.reads.questions import BM25
from tasb_qdrant.errors import EncodingError, LimitExceededError, RequestRefusedError
from tasb_qdrant.settings import VectorType

if TYPE_CHECKING:
    from collections.abc import Collection as Sized
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import models

    from tasb_qdrant.records.sparse import SparseVectors

VECTOR_BYTES: Final[dict[VectorType, int]] = {"float32": 4, "float16": 2}
"""Bytes of each number of a vector at rest."""

FLOAT16_MAX: Final = 65_504.0
"""Both stores turn larger numbers into infinity, without an error."""

RATE_SHARE: Final = 4
"""A request takes at most a quarter of what a minute allows: with three requests under way, each is
served within a minute, long before its retries end."""


@dataclass(frozen=True, slots=True)
class UpsertLimits:
    """The most that one request may hold; None if the store sets no limit."""

    points: int | None = None


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What a collection takes; None means no limit. The default is an embedded collection's.

    `points` is in all, and `points_by` the server's setting that says so; `reads` and `page` are the most ids
    that one request may ask for and the most points in its answer, `searches` the most queries in it; `hnsw_ef` and
    `oversampling` are the most that a search may, `seconds` the longest timeout that may be named, `conditions` those
    of a filter and `condition_size` the values in one of them; `terms` is the longest sparse vector that is stored,
    `writes_a_minute` the passages that are taken in a minute, `memory_percent` the share of memory from which on none
    are. Without `exact`, exact counts and searches are refused, and without `unindexed_filters`, filters on fields
    that have no payload index.

    What this package chooses itself is cut to all of them; what a person asked for beyond one is LimitExceededError.
    """

    upsert: UpsertLimits = UpsertLimits()
    points: int | None = None
    points_by: str = ""
    payload_bytes: int | None = None
    payload_indexes: int | None = None
    writes_a_minute: int | None = None
    reads: int | None = None
    page: int | None = None
    searches: int | None = None
    hnsw_ef: int | None = None
    oversampling: float | None = None
    seconds: int | None = None
    conditions: int | None = None
    condition_size: int | None = None
    terms: int | None = None
    memory_percent: int | None = None
    exact: bool = True
    unindexed_filters: bool = True

    @classmethod
    def of(cls, config: models.StrictModeConfigOutput | None, *, vector_bytes: int) -> StoreLimits:
        """What a server's strict mode says; it says nothing while it is off. `vector_bytes` are those of one."""
        if config is None or not config.enabled:
            return cls()
        totals = [
            (config.max_points_count, "max_points_count"),
            (_times(config.max_collection_vector_size_bytes, vector_bytes), "max_collection_vector_size_bytes"),
        ]
        points, points_by = min(
            ((most, name) for most, name in totals if most is not None), default=(None, ""), key=lambda total: total[0]
        )
        rate = config.write_rate_limit
        requests = [config.upsert_max_batchsize, None if rate is None else max(1, rate // RATE_SHARE)]
        return cls(
            upsert=UpsertLimits(points=min((most for most in requests if most is not None), default=None)),
            points=points,
            points_by=points_by,
            payload_bytes=config.max_collection_payload_size_bytes,
            payload_indexes=config.max_payload_index_count,
            writes_a_minute=rate,
            reads=None if config.read_rate_limit is None else max(1, config.read_rate_limit // RATE_SHARE),
            page=config.max_query_limit,
            searches=config.search_max_batchsize,
            hnsw_ef=config.search_max_hnsw_ef,
            oversampling=config.search_max_oversampling,
            seconds=config.max_timeout,
            conditions=config.filter_max_conditions,
            condition_size=config.condition_max_size,
            terms=None if (sparse := (config.sparse_config or {}).get(BM25)) is None else sparse.max_length,
            memory_percent=config.max_resident_memory_percent,
            exact=config.search_allow_exact is not False,
            unindexed_filters=config.unindexed_filtering_retrieve is not False,
        )

    def page_of(self, wanted: int) -> int:
        """As many points as are wanted in one answer, and allowed."""
        return min(wanted, self.page or wanted)

    def check_page(self, option: str, asked: int, *, place: str) -> None:
        """Raises LimitExceededError where a person asks for more points at once than are allowed."""
        check_number("max_query_limit", option, asked, self.page, place=place)

    def check_search(self, *, exact: bool, hnsw_ef: int | None, oversampling: float | None, place: str) -> None:
        """Raises LimitExceededError where a person asks for a more thorough search than is allowed."""
        if exact and not self.exact:
            raise exact_refused(place)
        check_number("search_max_hnsw_ef", "hnsw_ef", hnsw_ef, self.hnsw_ef, place=place)
        check_number("search_max_oversampling", "oversampling", oversampling, self.oversampling, place=place)

    def check_filter(self, where: models.Filter, *, place: str) -> None:
        """Raises LimitExceededError for more conditions, or values in one, than are allowed."""
        if self.conditions is None and self.condition_size is None:
            return
        sizes = condition_sizes(where)
        if self.conditions is not None and len(sizes) > self.conditions:
            raise filter_refused("filter_max_conditions", len(sizes), self.conditions, place=place)
        if self.condition_size is not None and (largest := max(sizes, default=0)) > self.condition_size:
            raise filter_refused("condition_max_size", largest, self.condition_size, place=place)

    def check_terms(self, sparse: SparseVectors | None, ids: Sequence[str], *, place: str) -> None:
        """Raises LimitExceededError for a passage with more different words than are allowed."""
        if self.terms is None or sparse is None:
            return
        for passage_id, terms in zip(ids, (sparse.offsets[1:] - sparse.offsets[:-1]).tolist(), strict=True):
            if terms > self.terms:
                raise LimitExceededError(
                    place,
                    setting="sparse_config.max_length",
                    asked=terms,
                    most=self.terms,
                    what=f"passage {passage_id[:100]!r} has {terms:,} different words in its BM25 vector",
                    remedy="split long texts with --split, in a new collection",
                )

    def check_indexes(self, there: Sized[str], wanted: Sized[str], *, place: str) -> None:
        """Raises RequestRefusedError when the payload indexes wanted would be more than are allowed."""
        most = self.payload_indexes
        if most is not None and len(missing := set(wanted) - set(there)) + len(there) > most:
            raise RequestRefusedError(
                f"{place}: the server allows {most} payload indexes a collection (max_payload_index_count), there are "
                f"{len(there)}, and {len(missing)} more are wanted ({', '.join(sorted(missing))}); ask for fewer, or "
                "have the limit raised"
            )

    def check_room(self, stored: int, coming: int | None, *, place: str) -> None:
        """Raises RequestRefusedError when `coming` passages can't fit in an empty collection.

        In one that holds some already, they may replace those, which takes no room.
        """
        if self.points is not None and coming is not None and not stored and coming > self.points:
            raise RequestRefusedError(
                f"{place}: the server allows {self.points:,} passages in this collection ({self.points_by}), and "
                f"{coming:,} are to be stored; ask for fewer, or have the limit raised"
            )

    def notes(self, stored: int, *, payload_bytes: int | None, indexed: bool) -> tuple[str, ...]:
        """What may stop or slow a load, and can't be known beforehand; a sentence each.

        `payload_bytes` is roughly what the source will take, if that is known; `indexed` whether there is any
        payload index.
        """
        notes = []
        if self.points is not None:
            room = max(0, self.points - stored)
            notes.append(f"The server takes {room:,} more passages ({self.points_by}; {stored:,} are stored).")
        if self.payload_bytes is not None and payload_bytes is not None and payload_bytes > self.payload_bytes:
            notes.append(
                f"The source has {payload_bytes:,} bytes, and the server takes {self.payload_bytes:,} of payload in "
                "this collection (max_collection_payload_size_bytes): it may refuse passages on the way."
            )
        if self.writes_a_minute is not None:
            notes.append(f"The server takes {self.writes_a_minute:,} passages a minute at most (write_rate_limit).")
        if not self.unindexed_filters and not indexed:
            notes.append(
                "The server refuses filters on fields without a payload index (unindexed_filtering_retrieve): name "
                "the fields to filter by with --index."
            )
        if self.memory_percent is not None:
            notes.append(
                f"The server takes no passages while more than {self.memory_percent} % of its memory is in use "
                "(max_resident_memory_percent)."
            )
        return tuple(notes)


UNLIMITED: Final = StoreLimits()


def check_representable(vectors: NDArray[np.float32], stored_as: VectorType) -> None:
    """Raises EncodingError for numbers that are too large for float16."""
    if stored_as == "float16" and vectors.size and (most := float(abs(vectors).max())) > FLOAT16_MAX:
        raise EncodingError(
            f"the vectors have numbers up to {most:g}, and float16 ends at {FLOAT16_MAX:g}; store them with "
            "--vectors float32, in a new collection"
        )


def _times(most: int | None, size: int) -> int | None:
    """How many of this size are within the most bytes."""
    return None if most is None else most // size
