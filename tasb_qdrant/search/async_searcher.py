"""`AsyncSearcher`: the same as `Searcher`, awaited, with queries asked at the same time encoded together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from pydantic import BaseModel, SecretStr
from typing_extensions import TypeVar

from tasb_qdrant.cache import TTL, Cache, CacheInfo
from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.collection.reads.questions import AsyncReads, OrderBy, ReadOptions
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.micro_batches import MAX_WAIT, MicroBatcher
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.records import FacetCount, Hit, HitGroup
from tasb_qdrant.search import browse
from tasb_qdrant.search import query as plans
from tasb_qdrant.search import recommend as likeness
from tasb_qdrant.search import rerank as reranking
from tasb_qdrant.search.effects import EncodePassages, EncodeQueries, Read, Step, Steps, Work, carry_out_async
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


class AsyncSearcher(Generic[P]):
    """`Searcher` for an event loop: the same options, methods and answers, awaited.

        async with AsyncSearcher("docs") as searcher:
            hits = await searcher.search("how do bees find food")

    `async with` connects and loads the encoder, in a thread; it belongs to the loop in which that happens. Queries of
    searches that run at the same time are encoded in one batch: while one is encoded, the next ones gather, and one
    that comes alone waits for nothing. One that is on its way is waited for, `max_wait` seconds at most.
    """

    @overload
    def __init__(
        self: AsyncSearcher[dict[str, Any]],
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
        max_wait: float = MAX_WAIT,
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncSearcher[M],
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
        max_wait: float = MAX_WAIT,
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
        max_wait: float = MAX_WAIT,
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
        self._collection_name = collection
        self._open: Callable[[], Session[P]] = partial(
            open_session,
            collection,
            settings,
            encoder=EncoderChoice(model, revision, allow_pickle, device, precision, loaded=encoder),
            payload=payload,
            on_invalid=on_invalid,
            cache=Cache(cache_size, ttl=cache_ttl),
        )
        self._max_wait = max_wait
        self._session: Session[P] | None = None
        self._reads: AsyncReads | None = None
        self._batcher: MicroBatcher | None = None
        self._encoding: ThreadPoolExecutor | None = None
        """One thread: torch keeps threads of its own for each that it is used from."""

    async def search(
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
        """`Searcher.search`, awaited."""
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
        [hits] = await self._run(plans.search(self._opened, [checked_query(query)], asked), expects=True)
        return hits

    async def search_batch(
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
        """`Searcher.search_batch`, awaited."""
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
        return await self._run(plans.search(self._opened, checked_queries(queries), asked))

    async def search_pages(
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
    ) -> AsyncIterator[Hits[P]]:
        """`Searcher.search_pages`, page by page: `async for`."""
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
        paging = await self._run(plans.begin_pages(self._opened, checked_query(query), asked))
        while not paging.done:
            hits, paging = await self._run(plans.next_page(self._opened, paging))
            if hits:
                yield hits

    async def search_groups(
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
        """`Searcher.search_groups`, awaited."""
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
        return await self._run(plans.search_groups(self._opened, checked_query(query), asked, by=by, size=group_size))

    async def more_like_this(
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
        """`Searcher.more_like_this`, awaited."""
        return await self.recommend(
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

    async def recommend(
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
        """`Searcher.recommend`, awaited."""
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
        return await self._run(likeness.recommend(self._opened, positive, negative, strategy=strategy, wanted=asked))

    async def rerank(
        self,
        query: str,
        candidates: Iterable[Candidate],
        *,
        limit: int | None = None,
        cross_encoder: CrossEncoder | None = None,
        cross_depth: int = CROSS_DEPTH,
        timeout: float | None = None,
    ) -> Hits[P]:
        """`Searcher.rerank`, awaited."""
        return await self._run(
            reranking.rerank(
                self._opened,
                checked_query(query),
                candidates,
                limit=limit,
                cross_encoder=cross_encoder,
                cross_depth=cross_depth,
                options=ReadOptions(timeout=timeout),
            )
        )

    async def count(self, where: Filterable | None = None, *, exact: bool = True, timeout: float | None = None) -> int:
        """`Searcher.count`, awaited."""
        options = ReadOptions(timeout=timeout)
        return await self._run(browse.count(self._opened, where, exact=exact, options=options))

    async def facet(
        self,
        field: str,
        *,
        where: Filterable | None = None,
        limit: int = 10,
        exact: bool = True,
        timeout: float | None = None,
    ) -> list[FacetCount]:
        """`Searcher.facet`, awaited."""
        options = ReadOptions(timeout=timeout)
        return await self._run(browse.facet(self._opened, field, where, limit=limit, exact=exact, options=options))

    async def get(
        self, ids: Iterable[str], *, with_vectors: bool = False, timeout: float | None = None
    ) -> dict[str, Hit[P]]:
        """`Searcher.get`, awaited."""
        options = ReadOptions(timeout=timeout)
        return await self._run(browse.get(self._opened, ids, vectors=with_vectors, options=options))

    async def scroll(
        self,
        where: Filterable | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        page_size: int = 256,
        with_payload: bool | Iterable[str] = True,
        with_vectors: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Hit[P]]:
        """`Searcher.scroll`, page by page: `async for`."""
        scrolling = await self._run(
            browse.begin_scroll(
                self._opened,
                where,
                order=None if order_by is None else OrderBy(order_by, descending),
                size=page_size,
                payload=payload_fields(with_payload),
                vectors=with_vectors,
                options=ReadOptions(timeout=timeout),
            )
        )
        while not scrolling.done:
            hits, scrolling = await self._run(browse.next_scroll(self._opened, scrolling))
            for hit in hits:
                yield hit

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder."""
        return self._opened.encoder

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return self._opened.notes

    async def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        return await asyncio.to_thread(self._opened.collection.info)

    def cache_info(self) -> CacheInfo:
        """How often the query cache had an answer."""
        return self._opened.cache.info()

    def clear_cache(self) -> None:
        """Forget the answers of the query cache."""
        self._opened.cache.clear()

    @property
    def encoded_batches(self) -> int:
        """How many forward passes the queries took that were encoded one by one or together."""
        return 0 if self._batcher is None else self._batcher.batches

    @property
    def encoded_queries(self) -> int:
        """How many queries those were."""
        return 0 if self._batcher is None else self._batcher.queries

    async def aclose(self) -> None:
        """Close the collection."""
        session, self._session = self._session, None
        reads, self._reads = self._reads, None
        if reads is not None:
            await reads.aclose()
        if session is not None:
            await asyncio.to_thread(session.collection.close)
        encoding, self._encoding = self._encoding, None
        if encoding is not None:
            await asyncio.to_thread(encoding.shutdown)

    async def __aenter__(self) -> Self:
        self._session = await asyncio.to_thread(self._open)
        self._reads = self._session.collection.async_reads()
        self._encoding = ThreadPoolExecutor(1, thread_name_prefix="encode")
        encode = self._session.encoder.encode_queries
        self._batcher = MicroBatcher(encode, run_in_thread=self._encode, max_wait=self._max_wait)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _encode(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._encoding, work, *arguments)

    @property
    def _opened(self) -> Session[P]:
        if self._session is None:
            raise CollectionError(
                f"collection {self._collection_name!r} is not open; search it inside `async with AsyncSearcher(...)`"
            )
        return self._session

    async def _run(self, steps: Steps[T], *, expects: bool = False) -> T:
        """What the steps come to. With `expects`, they may ask for a query's vector, which others wait for."""
        session, reads, batcher = self._opened, self._reads, self._batcher
        if reads is None or batcher is None:
            raise CollectionError(f"collection {self._collection_name!r} is not open")
        with batcher.expecting() if expects else nullcontext(batcher) as asked:

            async def carry(step: Step) -> Any:
                match step:
                    case EncodeQueries([query]):
                        return [await asked.encode(query)]
                    case EncodeQueries(queries):
                        return await self._encode(session.encoder.encode_queries, queries)
                    case Read(call):
                        return await call(reads)
                    case EncodePassages(texts):
                        return await self._encode(session.encoder.encode_passages, texts)
                    case Work(run):
                        return await asyncio.to_thread(run)

            return await carry_out_async(steps, carry=carry)
