"""`Searcher`: questions in, typed hits out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, Self, Unpack, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from tasb_qdrant.cache import TTL, CacheInfo
from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.options import EncoderChoice
from tasb_qdrant.forks import keep
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records import FacetCount, Hit
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.search import browse
from tasb_qdrant.search import query as plans
from tasb_qdrant.search import recommend as recommending
from tasb_qdrant.search import rerank as reranking
from tasb_qdrant.search.edits import Edit, SearcherEdits
from tasb_qdrant.search.hits import HitGroups, Hits
from tasb_qdrant.search.options import (
    Consistency,
    CountOptions,
    FacetOptions,
    Filterable,
    Fusion,
    GetOptions,
    GroupsOptions,
    Mode,
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
from tasb_qdrant.settings import StoreSettings
from tasb_qdrant.steps import Deadline, EncodePassages, EncodeQueries, Requests, Step, Steps, Work, carry_out

P = TypeVar("P", default=dict[str, Any])
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Searcher(SearcherEdits, Generic[P]):
    """Searches one collection with the encoder that its contract names. Safe to use from several threads.

    Opening it connects; use it in a `with` block, or call `close`. The encoder is loaded when the first query needs a
    vector, or by `warm_up`: not for reads, words (`mode="bm25"`) or recommendations by ids. The store is
    the server `url` or the folder `path`, else `$QDRANT_URL`, else the embedded store in
    ./tasb_qdrant_data; or a `store` of `open_store`, which several searchers may share, and which they leave open.
    Without `model`, that of the contract is loaded at its recorded commit, from the cache
    where it holds that. `model` names a copy of the contract's model elsewhere (a folder that was moved):
    its weights must be the same. An `encoder` that is loaded already is checked likewise.

    With `payload`, a pydantic model, each hit's payload is an instance of it. One that doesn't validate raises
    PayloadInvalidError, or with `on_invalid="keep"` stays a mapping, and the hit's `invalid` says why.
    `cache_size` answers, none older than `cache_ttl` seconds, are kept for queries that are asked again with the same
    options; `Hits.cached` tells those, and `cache_info` counts them.

    Opening raises CollectionNotFoundError, NotOurCollectionError, ContractMismatchError and ModelError. Every method
    raises CollectionError or one of its kinds where the store fails, and InvalidInputError or one of its kinds for what
    can't be asked.
    """

    @overload
    def __init__(
        self: Searcher[dict[str, Any]], collection: str, *, payload: None = None, **options: Unpack[SearcherOptions]
    ) -> None: ...

    @overload
    def __init__(
        self: Searcher[M], collection: str, *, payload: type[M], **options: Unpack[SearcherOptions]
    ) -> None: ...

    @expanded_signature(StoreSettings, EncoderChoice, store=None, on_invalid="raise", cache_size=0, cache_ttl=TTL)
    def __init__(
        self, collection: str, *, payload: type[BaseModel] | None = None, **options: Unpack[SearcherOptions]
    ) -> None:
        self._opening = Opening.of(collection, payload, options)
        self._open: Session[P] = self._opening.open()
        self._reopening = threading.Lock()
        self._closed = False

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        offset: int = 0,
        mode: Mode = "dense",
        fusion: Fusion = "rrf",
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        boost: str | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
        rescore: bool | None = None,
        oversampling: float | None = None,
        timeout: float | None = None,
        consistency: Consistency | None = None,
        where: Filterable | None = None,
        with_payload: bool | Iterable[str] = True,
        with_text: bool = True,
        with_vectors: bool = False,
        best_per: str | None = None,
        diversity: float | None = None,
    ) -> Hits[P]:
        """The `limit` passages nearest to the query, best first, without the best `offset`; equal scores come in the
        order of point ids.

        `where` is an `F(...)` expression, the same as text, or a qdrant_client filter.

        `mode` "dense" ranks by vectors; "bm25" by words, in a collection ingested with bm25, or whose texts have an
        index that ranks; "hybrid" fuses both lists, each of `depth` candidates, by `fusion`: by reciprocal ranks
        ("rrf", with `weights` of the dense and the bm25 list) or by normalised scores ("dbsf"). Hits below
        `score_threshold` are left out. `diversity`, from 0 to 1, prefers hits unlike each other, out of `depth`
        candidates (maximal marginal relevance).

        `boost` ranks the best `depth` candidates (500) anew, by a formula over `score` and payload fields, such as
        `score * exp_decay(published, scale="30 days")` or `score * weight(kind, {"news": 2})`: see docs/search.md.

        `best_per`, such as "doc_id", gives each document once, by its best passage: `limit` documents, where there are
        so many. The field may be any that holds strings or integers; passages without it are left out.

        `exact` compares with every vector instead of using the index; `hnsw_ef` makes the index more or less
        thorough; `rescore` and `oversampling` say how quantized vectors are used. `with_payload` are the payload
        fields to fetch, besides text and title, which `with_text=False` leaves out; `with_vectors` fetches the vectors,
        too. `timeout` bounds the seconds of the
        whole call; `consistency` says how many replicas of a cluster must agree.

        Raises InvalidInputError for an empty query, FilterError, SearchTimeoutError, CollectionError; never an empty
        list for a failure.
        """
        options = chosen(SearchOptions, locals())
        return self._run(plans.search(self._session, [checked_query(query)], options), timeout)[0]

    @search_signature()
    def search_batch(self, queries: Iterable[str], **options: Unpack[SearchOptions]) -> list[Hits[P]]:
        """The same for each query, in order: they are encoded together and sent together."""
        steps = plans.search(self._session, checked_queries(queries), options)
        return self._run(steps, options.get("timeout"))

    @search_signature(plans.begin_pages)
    def search_pages(self, query: str, **options: Unpack[PagesOptions]) -> Iterator[Hits[P]]:
        """The hits by pages, until there are no more: pages of one list, in which each hit comes once. The query is
        encoded once.

        `timeout` is for each page. What is deleted in between is missing from its page.
        """
        steps = plans.begin_pages(self._session, checked_query(query), **options)
        paging = self._run(steps, options.get("timeout"))
        return self._pages(paging)

    def _pages(self, paging: plans.Paging) -> Iterator[Hits[P]]:
        while not paging.done:
            hits, paging = self._run(plans.next_page(self._session, paging), paging.wanted.read.timeout)
            if hits:
                yield hits

    @search_signature(plans.search_groups)
    def search_groups(self, query: str, *, by: str, **options: Unpack[GroupsOptions]) -> HitGroups[P]:
        """The nearest passages of each value of the payload field `by`: up to `limit` groups of up to `group_size`.

        The group with the best hit comes first. A passage with several values is in several groups, and
        one without any is in none.
        """
        steps = plans.search_groups(self._session, checked_query(query), by=by, **options)
        return self._run(steps, options.get("timeout"))

    @search_signature()
    def more_like_this(self, passage: Example, **options: Unpack[MoreLikeThisOptions]) -> Hits[P]:
        """The passages nearest to one: by its id in the collection, or a Passage. It is not a hit itself."""
        return self.recommend([passage], **options)

    @search_signature(recommending.recommend)
    def recommend(
        self, positive: Sequence[Example], negative: Sequence[Example] = (), **options: Unpack[RecommendOptions]
    ) -> Hits[P]:
        """What is like the `positive` examples and unlike the `negative` ones, without the examples themselves.

        An example is a passage's id, or a Passage that needn't be in the collection. Raises PassageNotFoundError.
        """
        steps = recommending.recommend(self._session, positive, negative, **options)
        return self._run(steps, options.get("timeout"))

    @expanded_signature(reranking.rerank)
    def rerank(self, query: str, candidates: Iterable[Candidate], **options: Unpack[RerankOptions]) -> Hits[P]:
        """The candidates as hits, best first: ids of passages, hits, or Passages that needn't be in the collection.

        Scores are dot products, of the stored vectors, if there are any. With a `cross_encoder` the best
        `cross_depth` of them get its score and order, and the others are left out. Equal scores stay in the order
        given, and a candidate given twice comes once. Raises PassageNotFoundError for ids that aren't there.
        """
        return self._run(reranking.rerank(self._session, query, candidates, **options), options.get("timeout"))

    @expanded_signature(browse.count)
    def count(self, where: Filterable | None = None, **options: Unpack[CountOptions]) -> int:
        """The number of passages that match; an estimate, quicker, unless `exact`."""
        return self._run(browse.count(self._session, where, **options), options.get("timeout"))

    @expanded_signature(browse.facet)
    def facet(self, field: str, **options: Unpack[FacetOptions]) -> list[FacetCount]:
        """The `limit` most frequent values of a payload field, and how many of the matching passages have each; of
        equally frequent ones the least come first."""
        return self._run(browse.facet(self._session, field, **options), options.get("timeout"))

    @expanded_signature(browse.get)
    def get(self, ids: Iterable[str], **options: Unpack[GetOptions]) -> dict[str, Hit[P]]:
        """Those of the passages that are there, by their id, in the order asked for; their score is 0."""
        return self._run(browse.get(self._session, ids, **options), options.get("timeout"))

    @expanded_signature(browse.begin_scroll)
    def scroll(self, where: Filterable | None = None, **options: Unpack[ScrollOptions]) -> Iterator[Hit[P]]:
        """Every passage that matches, once, fetched by pages: in the order of point ids, or of the values of
        `order_by` and then of point ids.

        `order_by` needs an index of numbers or datetimes, and leaves out passages without a value; of several values
        the first in the order counts. What is added or deleted meanwhile may or may not come. `timeout` is for each
        page.
        """
        return self._scrolled(self._run(browse.begin_scroll(self._session, where, **options), options.get("timeout")))

    def _scrolled(self, scrolling: browse.Scrolling) -> Iterator[Hit[P]]:
        while not scrolling.done:
            hits, scrolling = self._run(browse.next_scroll(self._session, scrolling), scrolling.read.timeout)
            yield from hits

    @property
    def collection(self) -> OpenCollection:
        """The open collection; it is closed with the searcher."""
        return self._session.collection

    @property
    def encoder(self) -> Encoder:
        """The encoder, which is loaded now if it isn't yet."""
        return self._session.ready()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return self._session.notes

    def warm_up(self) -> None:
        """Load the encoder now, so that the first search is as quick as the next. Raises what `load_encoder` does."""
        self._session.ready()

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
        """Close the collection; not that of the process from which this one was forked since it was opened."""
        self._closed = True
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _session(self) -> Session[P]:
        """What is open in this process: opened anew after a fork, as nothing of the parent's can be used."""
        if self._open.origin.is_elsewhere and not self._closed:
            with self._reopening:
                if self._open.origin.is_elsewhere:
                    opening = self._opening.again()
                    keep(self._open)
                    self._open = opening.open()
        return self._open

    def _edit(self, steps: Edit) -> EditReport:
        try:
            return self._run(steps(self._session))
        finally:
            self.clear_cache()

    def _run(self, steps: Steps[T], timeout: float | None = None) -> T:
        """What the steps come to; hits know where the time went."""
        watch = Stopwatch()

        def carry(step: Step, deadline: Deadline) -> Any:
            began = time.perf_counter()
            try:
                return self._carry(step, deadline)
            finally:
                watch.took(step, began)

        return watch.timed(carry_out(steps, carry, deadline_of(timeout)))

    def _carry(self, step: Step, deadline: Deadline) -> Any:
        session = self._open
        match step:
            case EncodeQueries(queries):
                encoder = session.ready(deadline)
                return session.encoding.run(partial(encoder.encode_queries, queries), deadline)
            case Requests(requests):
                return session.collection.reads.send(requests, deadline)
            case EncodePassages(texts):
                encoder = session.ready(deadline)
                return session.encoding.run(partial(encoder.encode_passages, texts), deadline)
            case Work(run, encodes=True):
                return session.encoding.run(run, deadline)
            case Work(run):
                return run()
