"""`Searcher`: questions in, typed hits out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.protocol import Collection, CollectionInfo, SearchOptions, Where
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records import Hit
from tasb_qdrant.search.where import WhereChecker
from tasb_qdrant.settings import Transport, store_settings


class Searcher:
    """Searches one collection with the encoder that its contract names.

    Opening it connects and loads the encoder; use it in a `with` block, or call `close`. The store is
    the server `url` or the folder `path`, else `$QDRANT_URL`, else the embedded store in
    ./tasb_qdrant_data. `model` names a copy of the contract's model elsewhere (a folder that was moved):
    its weights must be the same. An `encoder` that is loaded already is checked likewise.
    """

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
        allow_plain_http_key: bool = False,
        model: str | Path | None = None,
        revision: str | None = None,
        allow_pickle: bool = False,
        device: str = "auto",
        precision: str = "auto",
        encoder: Encoder | None = None,
    ) -> None:
        settings = store_settings(
            url=url,
            path=path,
            api_key=api_key,
            transport=transport,
            grpc_port=grpc_port,
            timeout=timeout,
            allow_plain_http_key=allow_plain_http_key,
        )
        self._collection: Collection = open_existing(collection, settings)
        try:
            self._encoder: Encoder = encoder or load_encoder(
                model if model is not None else self._collection.contract.model,
                revision=revision,
                device=device,
                precision=precision,
                allow_pickle=allow_pickle,
            )
            check_contract(collection, self._collection.contract, self._encoder.contract)
        except BaseException:
            self._collection.close()
            raise
        self._where = WhereChecker(self._collection)

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | Where | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> list[Hit]:
        """The `limit` passages nearest to the query, best first; the first `offset` are left out.

        `where` is an `F(...)` expression, the same as text, or a qdrant_client filter. `exact` compares
        with every vector instead of using the index; `hnsw_ef` makes the index more or less thorough.
        Raises InvalidInputError for an empty query, FilterError, CollectionError.
        """
        return self.search_batch(
            [query],
            limit=limit,
            offset=offset,
            where=where,
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
        )[0]

    def search_batch(
        self,
        queries: Sequence[str],
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | Where | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> list[list[Hit]]:
        """The same for each query, in order: they are encoded together and sent as one request."""
        if isinstance(queries, str):
            raise SettingsError("search_batch takes a list of queries, got one string; use search for one")
        if limit < 1 or offset < 0:
            raise SettingsError(f"limit must be at least 1 and offset at least 0, got {limit} and {offset}")
        options = SearchOptions(
            limit=limit,
            offset=offset,
            where=self._where.resolve(where),
            score_threshold=score_threshold,
            exact=exact,
            hnsw_ef=hnsw_ef,
        )
        if not queries:
            return []
        return self._collection.search(self._encoder.encode_queries(queries), options)

    def count(self, where: str | Where | None = None) -> int:
        """The exact number of passages that match."""
        return self._collection.count(self._where.resolve(where))

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder."""
        return self._encoder

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen on the person's behalf, a sentence each."""
        return (*self._collection.notes, *self._encoder.notes)

    def info(self) -> CollectionInfo:
        """What the collection is and holds now."""
        return self._collection.info()

    def close(self) -> None:
        """Close the collection."""
        self._collection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
