"""`Searcher`: questions in, typed hits out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from pydantic import BaseModel, SecretStr
from typing_extensions import TypeVar

from tasb_qdrant.cache import TTL, Cache, CacheInfo
from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.collection.reads.questions import OrderBy, ReadOptions
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.records import FacetCount, Hit, HitGroup
from tasb_qdrant.search import browse
from tasb_qdrant.search import query as plans
from tasb_qdrant.search import recommend as likeness
from tasb_qdrant.search import rerank as reranking
from tasb_qdrant.search.effects import EncodePassages, EncodeQueries, Read, Step, Steps, Work, carry_out
from tasb_qdrant.search.hits import Hits, OnInvalid
from tasb_qdrant.search.options import (
    Consistency,
    Filterable,
    Fusion,
    Mode,
    Strategy,
    checked_queries,
    checked_query,
    payload_fields,
    wanted,
)
from tasb_qdrant.search.recommend import Example
from tasb_qdrant.search.rerank import CROSS_DEPTH, Candidate
from tasb_qdrant.search.session import EncoderChoice, Session, open_session
from tasb_qdrant.settings import Transport, store_settings

if TYPE_CHECKING:
    from tasb_qdrant.encoder import CrossEncoder

P = TypeVar("P", default=dict[str, Any])
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Searcher(Generic[P]):
    """Searches one collection with the encoder that its contract names. Safe to use from several threads.

    Opening it connects and loads the encoder; use it in a `with` block, or call `close`. The store is
    the server `url` or the folder `path`, else `$QDRANT_URL`, else the embedded store in
    ./tasb_qdrant_data. Without `model`, that of the contract is loaded at its recorded commit, from the cache
    where it holds that. `model` names a copy of the contract's model elsewhere (a folder that was moved):
    its weights must be the same. An `encoder` that is loaded already is checked likewise.

    With `payload`, a pydantic model, each hit's payload is an instance of it. One that doesn't validate raises
    PayloadInvalidError, or with `on_invalid="keep"` stays a mapping, and the hit's `invalid` says why.
    `cache_size` answers, none older than `cache_ttl` seconds, are kept for queries that are asked again with the same
    options; `Hits.cached` tells those, and `cache_info` counts them.
    """

    @overload
    def __init__(
        self: Searcher[dict[str, Any]],
        collection: str,
        *,
        url: str | None = None,
        path: str | Path | None = None,
        api_key: str | SecretStr | None = None,
        transport: Transport = "auto",
        grpc_port: int | None = None,
        timeout: float = 60.0,
        retry_seconds: float = 120.0,
        allow_plain_http_key: bool = False,
        model: str | Path | None = None,
        revision: str | None = None,
        allow_pickle: bool = False,
        device: str = "auto",
        precision: str = "auto",
        encoder: Encoder | None = None,
        payload: None = None,
        on_invalid: OnInvalid = "raise",
        cache_size: int = 0,
        cache_ttl: float = TTL,
    ) -> None: ...

    @overload
    def __init__(
        self: Searcher[M],
        collection: str,
        *,
        url: str | None = None,
        path: str | Path | None = None,
        api_key: str | SecretStr | None = None,
        transport: Transport = "auto",
        grpc_port: int | None = None,
        timeout: float = 60.0,
        retry_seconds: float = 120.0,
        allow_plain_http_key: bool = False,
        model: str | Path | None = None,
        revision: str | None = None,
        allow_pickle: bool = False,
        device: str = "auto",
        precision: str = "auto",
        encoder: Encoder | None = None,
        payload: type[M],
        on_invalid: OnInvalid = "raise",
        cache_size: int = 0,
        cache_ttl: float = TTL,
    ) -> None: ...

    def __init__(
        self,
        collection: str,
        *,
        url: str | None = None,
        path: str | Path | None = None,
        api_key: str | SecretStr | None = None,
        transport: Transport = "auto",
        grpc_port: int | None = None,
        timeout: float = 60.0,
        retry_seconds: float = 120.0,
        allow_plain_http_key: bool = False,
        model: str | Path | None = None,
        revision: str | None = None,
        allow_pickle: bool = False,
        device: str = "auto",
        precision: str = "auto",
        encoder: Encoder | None = None,
        payload: type[BaseModel] | None = None,
        on_invalid: OnInvalid = "raise",
        cache_size: int = 0,
        cache_ttl: float = TTL,
    ) -> None:
        settings = store_settings(
            url=url,
            path=path,
            api_key=api_key,
            transport=transport,
            grpc_port=grpc_port,
            timeout=timeout,
            retry_seconds=retry_seconds,
            allow_plain_http_key=allow_plain_http_key,
        )
        self._session: Session[P] = open_session(
            collection,
            settings,
            encoder=EncoderChoice(model, revision, allow_pickle, device, precision, loaded=encoder),
            payload=payload,
            on_invalid=on_invalid,
            cache=Cache(cache_size, ttl=cache_ttl),
        )
        self._reads = self._session.collection.reads

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        offset: int = 0,
        where: Filterable | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "rrf",
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        diversity: float | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> Hits[P]:
        """The `limit` passages nearest to the query, best first; the first `offset` are left out.

        `where` is an `F(...)` expression, the same as text, or a qdrant_client filter.

        `mode` "dense" is nearness of vectors; "bm25" of words, in a collection ingested with bm25; "hybrid" joins
        both lists, each of `depth` candidates, by reciprocal rank fusion ("rrf", with `weights` of the dense and the
        bm25 list) or by normalised scores ("dbsf"). `diversity`, from 0 to 1, prefers hits unlike each other, out of
        `depth` candidates (maximal marginal relevance).

        `exact` compares with every vector instead of using the index; `hnsw_ef` makes the index more or less
        thorough; `rescore` and `oversampling` say how quantized vectors are used. `with_payload` are the payload
        fields to fetch, besides text and title, which `with_text` leaves out. `timeout` bounds the seconds of the
        whole call; `consistency` says how many replicas of a cluster must agree.

        Raises InvalidInputError for an empty query, FilterError, SearchTimeoutError, CollectionError; never an empty
        list for a failure.
        """
        asked = wanted(
            limit=limit,
            offset=offset,
            where=where,
            mode=mode,
            fusion=fusion,
            weights=weights,
            depth=depth,
            diversity=diversity,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )
        return self._run(plans.search(self._session, [checked_query(query)], asked))[0]

    def search_batch(
        self,
        queries: Iterable[str],
        *,
        limit: int = 10,
        offset: int = 0,
        where: Filterable | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "rrf",
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        diversity: float | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> list[Hits[P]]:
        """The same for each query, in order: they are encoded together and sent together."""
        asked = wanted(
            limit=limit,
            offset=offset,
            where=where,
            mode=mode,
            fusion=fusion,
            weights=weights,
            depth=depth,
            diversity=diversity,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )
        return self._run(plans.search(self._session, checked_queries(queries), asked))

    def search_pages(
        self,
        query: str,
        *,
        page_size: int = 10,
        where: Filterable | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "rrf",
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> Iterator[Hits[P]]:
        """The hits by pages, until there are no more; the query is encoded once, and no hit comes twice.

        `timeout` is for each page.
        """
        asked = wanted(
            limit=page_size,
            where=where,
            mode=mode,
            fusion=fusion,
            weights=weights,
            depth=depth,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )
        paging = self._run(plans.begin_pages(self._session, checked_query(query), asked))
        return self._pages(paging)

    def _pages(self, paging: plans.Paging) -> Iterator[Hits[P]]:
        while not paging.done:
            hits, paging = self._run(plans.next_page(self._session, paging))
            if hits:
                yield hits

    def search_groups(
        self,
        query: str,
        *,
        by: str,
        group_size: int = 3,
        limit: int = 10,
        where: Filterable | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "rrf",
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> list[HitGroup[P]]:
        """The nearest passages of each value of the payload field `by`: up to `limit` groups of up to `group_size`.

        The group with the best hit comes first. A passage with several values is in several groups, one without any
        in none.
        """
        asked = wanted(
            limit=limit,
            where=where,
            mode=mode,
            fusion=fusion,
            weights=weights,
            depth=depth,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )
        return self._run(plans.search_groups(self._session, checked_query(query), asked, by=by, size=group_size))

    def more_like_this(
        self,
        passage: Example,
        *,
        limit: int = 10,
        where: Filterable | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> Hits[P]:
        """The passages nearest to one: by its id in the collection, or a Passage. It is no hit itself."""
        return self.recommend(
            [passage],
            limit=limit,
            where=where,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )

    def recommend(
        self,
        positive: Sequence[Example],
        negative: Sequence[Example] = (),
        *,
        strategy: Strategy = "average_vector",
        limit: int = 10,
        offset: int = 0,
        where: Filterable | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        timeout: float | None = None,
        consistency: Consistency | None = None,
    ) -> Hits[P]:
        """What is like the `positive` examples and unlike the `negative` ones, without the examples themselves.

        An example is a passage's id, or a Passage that needn't be in the collection. Raises PassageNotFoundError.
        """
        asked = wanted(
            limit=limit,
            offset=offset,
            where=where,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
            rescore=rescore,
            oversampling=oversampling,
            with_payload=with_payload,
            with_text=with_text,
            with_vectors=with_vectors,
            timeout=timeout,
            consistency=consistency,
        )
        return self._run(likeness.recommend(self._session, positive, negative, strategy=strategy, wanted=asked))

    def rerank(
        self,
        query: str,
        candidates: Iterable[Candidate],
        *,
        limit: int | None = None,
        cross_encoder: CrossEncoder | None = None,
        cross_depth: int = CROSS_DEPTH,
        timeout: float | None = None,
    ) -> Hits[P]:
        """The candidates as hits, best first: ids of passages, hits, or Passages that needn't be in the collection.

        Scores are dot products, of the stored vectors where there are some. With a `cross_encoder` the best
        `cross_depth` of them get its score and order, and the others are left out. Equal scores stay in the order
        given, and a candidate given twice comes once. Raises PassageNotFoundError for ids that aren't there.
        """
        return self._run(
            reranking.rerank(
                self._session,
                checked_query(query),
                candidates,
                limit=limit,
                cross_encoder=cross_encoder,
                cross_depth=cross_depth,
                options=ReadOptions(timeout=timeout),
            )
        )

    def count(self, where: Filterable | None = None, *, exact: bool = True, timeout: float | None = None) -> int:
        """The number of passages that match; an estimate, quicker, unless `exact`."""
        options = ReadOptions(timeout=timeout)
        return self._run(browse.count(self._session, where, exact=exact, options=options))

    def facet(
        self,
        field: str,
        *,
        where: Filterable | None = None,
        limit: int = 10,
        exact: bool = True,
        timeout: float | None = None,
    ) -> list[FacetCount]:
        """The `limit` most frequent values of a payload field, and how many of the matching passages have each."""
        options = ReadOptions(timeout=timeout)
        return self._run(browse.facet(self._session, field, where, limit=limit, exact=exact, options=options))

    def get(self, ids: Iterable[str], *, with_vectors: bool = False, timeout: float | None = None) -> dict[str, Hit[P]]:
        """Those of the passages that are there, by their id, in the order asked for; their score is 0."""
        options = ReadOptions(timeout=timeout)
        return self._run(browse.get(self._session, ids, vectors=with_vectors, options=options))

    def scroll(
        self,
        where: Filterable | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        page_size: int = 256,
        with_payload: bool | Iterable[str] = True,
        with_vectors: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Hit[P]]:
        """Every passage that matches, fetched by pages: in the order of point ids, or of the values of `order_by`.

        `order_by` needs an index of numbers or datetimes, and leaves out passages without a value. What is added or
        deleted meanwhile may or may not come. `timeout` is for each page.
        """
        scrolling = self._run(
            browse.begin_scroll(
                self._session,
                where,
                order=None if order_by is None else OrderBy(order_by, descending),
                size=page_size,
                payload=payload_fields(with_payload),
                vectors=with_vectors,
                options=ReadOptions(timeout=timeout),
            )
        )
        return self._scrolled(scrolling)

    def _scrolled(self, scrolling: browse.Scrolling) -> Iterator[Hit[P]]:
        while not scrolling.done:
            hits, scrolling = self._run(browse.next_scroll(self._session, scrolling))
            yield from hits

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder."""
        return self._session.encoder

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return self._session.notes

    def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        return self._session.collection.info()

    def cache_info(self) -> CacheInfo:
        """How often the query cache had an answer."""
        return self._session.cache.info()

    def clear_cache(self) -> None:
        """Forget the answers of the query cache."""
        self._session.cache.clear()

    def close(self) -> None:
        """Close the collection."""
        self._session.collection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        return carry_out(steps, carry=self._carry)

    def _carry(self, step: Step) -> Any:
        match step:
            case EncodeQueries(queries):
                return self._session.encoder.encode_queries(queries)
            case Read(call):
                return call(self._reads)
            case EncodePassages(texts):
                return self._session.encoder.encode_passages(texts)
            case Work(run):
                return run()
