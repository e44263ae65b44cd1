"""`AsyncSearcher`: the same as `Searcher`, awaited, with queries asked at the same time encoded together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import Any, Generic, Self, Unpack, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from tasb_qdrant.cache import TTL, CacheInfo
from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.collection.reads.run import AsyncReads
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.micro_batches import MAX_WAIT, MicroBatcher
from tasb_qdrant.encoder.options import EncoderChoice
from tasb_qdrant.errors import CollectionError
from tasb_qdrant.forks import keep
from tasb_qdrant.keywords import expanded_signature
from tasb_qdrant.records import FacetCount, Hit
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.search import browse
from tasb_qdrant.search import query as plans
from tasb_qdrant.search import recommend as recommending
from tasb_qdrant.search import rerank as reranking
from tasb_qdrant.search.edits import AsyncSearcherEdits, Edit
from tasb_qdrant.search.encoding import BUSY, MOST
from tasb_qdrant.search.hits import HitGroups, Hits
from tasb_qdrant.search.options import (
    CountOptions,
    FacetOptions,
    Filterable,
    GetOptions,
    GroupsOptions,
    MoreLikeThisOptions,
    PagesOptions,
    RecommendOptions,
    RerankOptions,
    ScrollOptions,
    SearchOptions,
)
from tasb_qdrant.search.ranking import checked_queries, checked_query, deadline_of, search_signature
from tasb_qdrant.search.recommend import Example
from tasb_qdrant.search.rerank import Candidate
from tasb_qdrant.search.session import Opening, SearcherOptions, Session
from tasb_qdrant.search.stopwatch import Stopwatch
from tasb_qdrant.search.where import is_long
from tasb_qdrant.settings import StoreSettings
from tasb_qdrant.steps import Deadline, EncodePassages, EncodeQueries, Requests, Step, Steps, Work, carry_out_async

P = TypeVar("P", default=dict[str, Any])
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class AsyncSearcher(AsyncSearcherEdits, Generic[P]):
    """`Searcher` for an event loop: the same options, methods and answers, awaited.

        async with AsyncSearcher("docs") as searcher:
            hits = await searcher.search("how do bees find food")

    `async with` connects, in a thread, and belongs to the loop in which that happens; the encoder is loaded when it is
    first needed, or by `warm_up`. Queries of searches that run at the same time are encoded in one batch: while one is
    encoded, the next ones gather, and one that comes alone waits for nothing. One that is on its way is waited for,
    `max_wait` seconds at most.

    Every method raises what that of `Searcher` raises.
    """

    @overload
    def __init__(
        self: AsyncSearcher[dict[str, Any]],
        collection: str,
        *,
        payload: None = None,
        max_wait: float = MAX_WAIT,
        **options: Unpack[SearcherOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncSearcher[M],
        collection: str,
        *,
        payload: type[M],
        max_wait: float = MAX_WAIT,
        **options: Unpack[SearcherOptions],
    ) -> None: ...

    @expanded_signature(StoreSettings, EncoderChoice, store=None, on_invalid="raise", cache_size=0, cache_ttl=TTL)
    def __init__(
        self,
        collection: str,
        *,
        payload: type[BaseModel] | None = None,
        max_wait: float = MAX_WAIT,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self._opening = Opening.of(collection, payload, options)
        self._max_wait = max_wait
        self._session: Session[P] | None = None
        self._reads: AsyncReads | None = None
        self._batcher: MicroBatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._encoding: ThreadPoolExecutor | None = None
        """One thread: torch keeps threads of its own for each that it is used from."""

    @search_signature()
    async def search(self, query: str, **options: Unpack[SearchOptions]) -> Hits[P]:
        """`Searcher.search`, awaited."""
        steps = plans.search(self._opened, [checked_query(query)], options)
        [hits] = await self._run(steps, options.get("timeout"), expects=True, where=options.get("where"))
        return hits

    @search_signature()
    async def search_batch(self, queries: Iterable[str], **options: Unpack[SearchOptions]) -> list[Hits[P]]:
        """`Searcher.search_batch`, awaited."""
        steps = plans.search(self._opened, checked_queries(queries), options)
        return await self._run(steps, options.get("timeout"), where=options.get("where"))

    @search_signature(plans.begin_pages)
    async def search_pages(self, query: str, **options: Unpack[PagesOptions]) -> AsyncIterator[Hits[P]]:
        """`Searcher.search_pages`, page by page: `async for`."""
        steps, where = plans.begin_pages(self._opened, checked_query(query), **options), options.get("where")
        paging = await self._run(steps, options.get("timeout"), where=where)
        while not paging.done:
            page = plans.next_page(self._opened, paging)
            hits, paging = await self._run(page, paging.wanted.read.timeout, where=where)
            if hits:
                yield hits

    @search_signature(plans.search_groups)
    async def search_groups(self, query: str, *, by: str, **options: Unpack[GroupsOptions]) -> HitGroups[P]:
        """`Searcher.search_groups`, awaited."""
        steps = plans.search_groups(self._opened, checked_query(query), by=by, **options)
        return await self._run(steps, options.get("timeout"), where=options.get("where"))

    @search_signature()
    async def more_like_this(self, passage: Example, **options: Unpack[MoreLikeThisOptions]) -> Hits[P]:
        """`Searcher.more_like_this`, awaited."""
        return await self.recommend([passage], **options)

    @search_signature(recommending.recommend)
    async def recommend(
        self, positive: Sequence[Example], negative: Sequence[Example] = (), **options: Unpack[RecommendOptions]
    ) -> Hits[P]:
        """`Searcher.recommend`, awaited."""
        steps = recommending.recommend(self._opened, positive, negative, **options)
        return await self._run(steps, options.get("timeout"), where=options.get("where"))

    @expanded_signature(reranking.rerank)
    async def rerank(self, query: str, candidates: Iterable[Candidate], **options: Unpack[RerankOptions]) -> Hits[P]:
        """`Searcher.rerank`, awaited."""
        return await self._run(reranking.rerank(self._opened, query, candidates, **options), options.get("timeout"))

    @expanded_signature(browse.count)
    async def count(self, where: Filterable | None = None, **options: Unpack[CountOptions]) -> int:
        """`Searcher.count`, awaited."""
        return await self._run(browse.count(self._opened, where, **options), options.get("timeout"), where=where)

    @expanded_signature(browse.facet)
    async def facet(self, field: str, **options: Unpack[FacetOptions]) -> list[FacetCount]:
        """`Searcher.facet`, awaited."""
        steps = browse.facet(self._opened, field, **options)
        return await self._run(steps, options.get("timeout"), where=options.get("where"))

    @expanded_signature(browse.get)
    async def get(self, ids: Iterable[str], **options: Unpack[GetOptions]) -> dict[str, Hit[P]]:
        """`Searcher.get`, awaited."""
        return await self._run(browse.get(self._opened, ids, **options), options.get("timeout"))

    @expanded_signature(browse.begin_scroll)
    async def scroll(self, where: Filterable | None = None, **options: Unpack[ScrollOptions]) -> AsyncIterator[Hit[P]]:
        """`Searcher.scroll`, page by page: `async for`."""
        steps = browse.begin_scroll(self._opened, where, **options)
        scrolling = await self._run(steps, options.get("timeout"), where=where)
        while not scrolling.done:
            page = browse.next_scroll(self._opened, scrolling)
            hits, scrolling = await self._run(page, scrolling.read.timeout, where=where)
            for hit in hits:
                yield hit

    @property
    def encoder(self) -> Encoder:
        """The encoder, which is loaded now, in this thread, if it isn't yet: `warm_up` loads it in another."""
        return self._opened.ready()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return self._opened.notes

    async def warm_up(self) -> None:
        """`Searcher.warm_up`, awaited."""
        await self._encode(self._opened.ready)

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
        """Close the collection. Searches that are under way raise CollectionError."""
        session, self._session = self._session, None
        reads, self._reads = self._reads, None
        encoding, self._encoding = self._encoding, None
        if session is None or session.origin.is_elsewhere:
            keep((session, reads, encoding))  # nothing, or the process's from which this one was forked
            return
        if self._batcher is not None:
            self._batcher.close(self._closed_error())
        if reads is not None and self._loop is asyncio.get_running_loop():  # of another loop, nothing can be awaited
            await reads.aclose()
        await asyncio.to_thread(session.close)
        if encoding is not None:
            encoding.shutdown(wait=False)  # what nobody waits for any more may take long

    async def __aenter__(self) -> Self:
        session: Session[P] = await asyncio.to_thread(self._opening.open)
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._reads = session.collection.async_reads()
        self._encoding = ThreadPoolExecutor(1, thread_name_prefix="encode")
        encode = session.encoder.encode_queries
        self._batcher = MicroBatcher(encode, run_in_thread=self._encode, max_wait=self._max_wait)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _encode(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if (encoding := self._encoding) is None:
            raise self._closed_error()
        try:
            return await asyncio.get_running_loop().run_in_executor(encoding, work, *arguments)
        except RuntimeError:
            if self._encoding is None:  # it was shut down meanwhile
                raise self._closed_error() from None
            raise

    def _closed_error(self) -> CollectionError:
        return CollectionError(
            f"collection {self._opening.name!r} is not open; search it inside `async with AsyncSearcher(...)`"
        )

    @property
    def _opened(self) -> Session[P]:
        if (session := self._session) is None:
            raise self._closed_error()
        name = f"collection {self._opening.name!r}"
        session.origin.check(name)
        with suppress(RuntimeError):  # no loop runs: `encoder` and `notes` may be asked for anywhere
            if asyncio.get_running_loop() is not self._loop:
                raise CollectionError(
                    f"{name} was opened in another event loop, to which its connections belong; open an AsyncSearcher "
                    "in each loop"
                )
        return session

    async def _edit(self, steps: Edit) -> EditReport:
        try:
            return await self._run(steps(self._opened))
        finally:
            self.clear_cache()

    async def _run(
        self, steps: Steps[T], timeout: float | None = None, *, expects: bool = False, where: object = None
    ) -> T:
        """What the steps come to. With `expects`, they may ask for a query's vector, which others wait for. A long
        `where` is worked on in a thread, while the loop goes on."""
        session, reads, batcher = self._opened, self._reads, self._batcher
        if reads is None or batcher is None:
            raise CollectionError(f"collection {self._opening.name!r} is not open")
        watch = Stopwatch()
        with batcher.expecting() if expects else nullcontext(batcher) as asked:

            async def answer(step: Step, deadline: Deadline) -> Any:
                if isinstance(step, EncodeQueries | EncodePassages) and not session.is_ready:
                    await self._encode(session.ready, deadline)
                match step:
                    case EncodeQueries([query]):
                        return [await _by(deadline, asked.encode(query))]
                    case EncodeQueries(queries):
                        return await _by(deadline, self._encode(session.encoder.encode_queries, queries))
                    case Requests(requests):
                        return await reads.send(requests, deadline)
                    case EncodePassages(texts):
                        return await _by(deadline, self._encode(session.encoder.encode_passages, texts))
                    case Work(run, encodes=True):
                        return await _by(deadline, asyncio.to_thread(run))
                    case Work(run):
                        return await asyncio.to_thread(run)

            async def carry(step: Step, deadline: Deadline) -> Any:
                began = time.perf_counter()
                try:
                    return await answer(step, deadline)
                finally:
                    watch.took(step, began)

            in_thread = is_long(where)
            return watch.timed(await carry_out_async(steps, carry, deadline_of(timeout), in_thread=in_thread))


async def _by(deadline: Deadline, work: Awaitable[T]) -> T:
    """What a model's work comes to. Raises SearchTimeoutError at the deadline; work that has begun then goes on, and
    what waits for its turn is never begun."""
    if deadline.until is None:
        return await work
    ending = asyncio.timeout(deadline.left(MOST))
    try:
        async with ending:
            return await work
    except TimeoutError:
        if ending.expired():
            raise deadline.missed(BUSY) from None
        raise
