"""How a collection is created."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records.path import qdrant_path
from tasb_qdrant.settings.base import Frozen
from tasb_qdrant.settings.bm25 import Bm25Settings
from tasb_qdrant.settings.split import SplitSettings

IndexType = Literal["keyword", "integer", "float", "bool", "datetime", "geo", "text", "uuid"]
"""The payload index types that both stores support."""


Quantization = Literal["none", "int8", "binary", "turbo4"]


VectorType = Literal["float32", "float16"]


class PayloadKeys(Frozen):
    """The payload keys of a passage's id, text and title, which sit beside its own fields."""

    id: str = Field(default="passage_id", min_length=1)
    text: str = Field(default="text", min_length=1)
    title: str = Field(default="title", min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({self.id, self.text, self.title}) < 3:
            raise ValueError("the payload keys of id, text and title must differ")
        return self


class CollectionSettings(Frozen):
    """How a collection is created. An existing collection keeps what it has; only payload indexes are added.

    `indexes` are payload indexes by field, `{"year": "integer"}`. `hnsw_m` and `hnsw_ef_construct` are the vector
    index's edges for each point, and the candidates that are considered for them. `quantization` searches smaller
    copies of the vectors first, `on_disk` keeps the vectors out of memory. `shards` are the parts of the collection on
    a server; None is one for each four cores of its nodes, where enough passages come. `write_consistency` says how
    many replicas must confirm a write. `indexing_threshold_kb` applies after a bulk load; during the load it is 0 (no
    index is built). `vectors` is how vectors are stored; they are passed and scored as float32 either way. `replicas`
    "auto" is 3, with a write consistency of 2, on a cluster of three or more nodes, and 1 elsewhere. `keys` None means
    those of the collection, or the defaults for a new one. `bm25` adds a BM25 sparse vector to every passage; None
    means what the collection has, which for a new one is none. The same holds for `split`: whether long texts become
    several passages.
    """

    indexes: dict[str, IndexType] = Field(default_factory=dict)
    quantization: Quantization = "none"
    vectors: VectorType = "float32"
    on_disk: bool = False
    hnsw_m: int = Field(default=16, ge=4, le=512)
    hnsw_ef_construct: int = Field(default=128, ge=16, le=4096)
    indexing_threshold_kb: int = Field(default=10_000, ge=1)
    shards: int | None = Field(default=None, ge=1, le=1024)
    replicas: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] | None = None
    write_consistency: int | None = Field(default=None, ge=1, le=64)
    keys: PayloadKeys | None = None
    bm25: Bm25Settings | None = None
    split: SplitSettings | None = None

    @model_validator(mode="after")
    def _room_for_the_document(self) -> Self:
        keys = self.keys or PayloadKeys()
        if self.split is not None and self.split.field in (keys.id, keys.text, keys.title):
            raise ValueError(
                f"split would keep documents' ids in the payload field {self.split.field!r}, which is a passage's own "
                "id, text or title; name another one: tokens:N,field:NAME"
            )
        return self

    @field_validator("indexes")
    @classmethod
    def _as_qdrant_spells_them(cls, indexes: dict[str, IndexType]) -> dict[str, IndexType]:
        spelled = {qdrant_path(field): kind for field, kind in indexes.items()}
        if len(spelled) < len(indexes):
            raise ValueError(f"a field is named twice, in two spellings: {', '.join(indexes)}")
        return spelled


def parse_indexes(specifications: tuple[str, ...] | list[str]) -> dict[str, IndexType]:
    """`["year:integer", "lang:keyword"]` as {"year": "integer", "lang": "keyword"}. Raises SettingsError."""
    indexes: dict[str, IndexType] = {}
    known: tuple[IndexType, ...] = get_args(IndexType)
    for specification in specifications:
        name, colon, kind = specification.rpartition(":")
        match = next((k for k in known if k == kind), None)
        if not colon or not name or match is None:
            raise SettingsError(f"--index takes FIELD:TYPE with TYPE one of {', '.join(known)}; got {specification!r}")
        if indexes.get(name, match) != match:
            raise SettingsError(f"--index names {name!r} twice, as {indexes[name]} and as {match}")
        indexes[name] = match
    return indexes
