"""`Searcher`: questions in, typed hits out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.protocol import CollectionInfo, OpenCollection, SearchOptions, Where
from tasb_qdrant.collection.schema import check_contract
from tasb_qdrant.encoder import Encoder, load_encoder, named_by
from tasb_qdrant.errors import InvalidInputError, SettingsError
from tasb_qdrant.records import Hit
from tasb_qdrant.search.where import WhereChecker
from tasb_qdrant.settings import Transport, store_settings


class Searcher:
    """Searches one collection with the encoder that its contract names.

    Opening it connects and loads the encoder; use it in a `with` block, or call `close`. The store is
    the server `url` or the folder `path`, else `$QDRANT_URL`, else the embedded store in
    ./tasb_qdrant_data. Without `model`, that of the contract is loaded at its recorded commit, from the cache
    where it holds that. `model` names a copy of the contract's model elsewhere (a folder that was moved):
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
        self._collection: OpenCollection = open_existing(collection, settings)
        try:
            if model is None:
                model, revision = named_by(self._collection.contract, revision)
            self._encoder: Encoder = encoder or load_encoder(
                model,
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
        if not isinstance(query, str):
            raise SettingsError(f"the query must be a string, got {type(query).__name__}; use search_batch for several")
        if not query.strip():
            raise InvalidInputError("the query is empty; write what to search for")
        options = SearchOptions(
            limit=limit, offset=offset, score_threshold=score_threshold, exact=exact, hnsw_ef=hnsw_ef
        )
        options = replace(options, where=self._where.resolve(where, stacklevel=3))
        return self._collection.search(self._encoder.encode_queries([query]), options)[0]

    def search_batch(
        self,
        queries: Iterable[str],
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | Where | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> list[list[Hit]]:
        """The same for each query, in order: they are encoded together and sent as one request."""
        asked = _strings(queries)
        options = SearchOptions(
            limit=limit, offset=offset, score_threshold=score_threshold, exact=exact, hnsw_ef=hnsw_ef
        )
        options = replace(options, where=self._where.resolve(where, stacklevel=3))
        if not asked:
            return []
        return self._collection.search(self._encoder.encode_queries(asked), options)

    def count(self, where: str | Where | None = None) -> int:
        """The exact number of passages that match."""
        return self._collection.count(self._where.resolve(where, stacklevel=3))

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


def _strings(queries: Iterable[str]) -> list[str]:
    """The queries as a list, read once. Raises SettingsError for what is none of strings."""
    if isinstance(queries, str):
        raise SettingsError("search_batch takes a list of queries, got one string; use search for one")
    if not isinstance(queries, Iterable):
        raise SettingsError(f"search_batch takes a list of queries, got {type(queries).__name__}")
    asked = list(queries)
    for index, query in enumerate(asked):
        if not isinstance(query, str):
            raise SettingsError(f"queries must be strings, query {index} is of type {type(query).__name__}")
    return asked
