"""What a server says of a collection, as ours: checked whenever it is read, at the opening and later."""

from __future__ import annotations

from typing import Final, get_args

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest

from tasb_qdrant.collection.limits import VECTOR_BYTES, StoreLimits
from tasb_qdrant.collection.reads.state import State
from tasb_qdrant.collection.reads.wire import Indexes, most_compared
from tasb_qdrant.collection.schema import CollectionSchema, read_schema
from tasb_qdrant.collection.server.rest_answers import read_json
from tasb_qdrant.collection.server.vectors import check_bm25_vector
from tasb_qdrant.errors import ContractMismatchError, StoreCorruptError
from tasb_qdrant.settings import IndexType

_INDEX_TYPES: Final[dict[str, IndexType]] = {kind: kind for kind in get_args(IndexType)}


def grpc_state(answer: bytes, *, name: str, location: str) -> State:
    """Of a GetCollectionInfoResponse."""
    described = GrpcToRest.convert_collection_info(grpc.GetCollectionInfoResponse.FromString(answer).result)
    return state_of(described, name=name, location=location)


def rest_state(answer: bytes, *, name: str, location: str) -> State:
    """Of the same in JSON."""
    described = models.CollectionInfo.model_validate(read_json(answer)["result"])
    return state_of(described, name=name, location=location)


def state_of(described: models.CollectionInfo, *, name: str, location: str) -> State:
    """The schema, the payload indexes, what strict mode allows. Raises what `schema_of` raises."""
    schema = schema_of(described, name=name, location=location)
    vector_bytes = schema.contract.dim * VECTOR_BYTES[schema.vectors]
    strict = described.config.strict_mode_config
    _check_limits(strict, name=name, location=location)
    limits = StoreLimits.of(strict, vector_bytes=vector_bytes)
    built = (described.indexed_vectors_count or 0).bit_length()
    return State(schema, indexes_of(described), limits, _most_compared(described, schema, limits), built)


def _check_limits(strict: models.StrictModeConfigOutput | None, *, name: str, location: str) -> None:
    """Raises StoreCorruptError for limits that no server has, with which a read would ask for nothing."""
    for setting, most in {} if strict is None else strict.model_dump(exclude_none=True).items():
        if isinstance(most, int | float) and not most >= 0:
            raise StoreCorruptError(
                f"what {location} says of collection {name!r} can't be right: strict mode's {setting} is {most}; look "
                "what answers there"
            )


def schema_of(described: models.CollectionInfo, *, name: str, location: str) -> CollectionSchema:
    """What the collection says about itself, checked against what the server says of its vectors.

    Raises NotOurCollectionError, StoreCorruptError, ContractMismatchError.
    """
    schema = read_schema(described.config.metadata, name=name, location=location)
    vectors = described.config.params.vectors
    if not isinstance(vectors, models.VectorParams):
        raise StoreCorruptError(
            f"collection {name!r} at {location} should hold one unnamed vector a point, as tasb-qdrant "
            "makes it, and has named ones or none; ingest into another --collection"
        )
    pairs = (
        ("dim", vectors.size, schema.contract.dim),
        ("distance", vectors.distance.value, schema.contract.distance),
    )
    if wrong := [(what, is_, said) for what, is_, said in pairs if is_ != said]:
        raise ContractMismatchError(name, wrong)
    if schema.bm25 is not None:
        check_bm25_vector(described, name=name, location=location)
    return schema


def indexes_of(described: models.CollectionInfo) -> Indexes:
    """The payload indexes, as far as there are names for their types."""
    found = {
        field: (info, _INDEX_TYPES[info.data_type.value])
        for field, info in described.payload_schema.items()
        if info.data_type.value in _INDEX_TYPES
    }
    return Indexes(
        {field: kind for field, (_, kind) in found.items()},
        frozenset(field for field, (info, kind) in found.items() if kind == "text" and not _finds_phrases(info)),
        {field: info.points for field, (info, _) in found.items()},
        frozenset(field for field, (info, kind) in found.items() if kind == "text" and _ranks(info)),
    )


def _finds_phrases(info: models.PayloadIndexInfo) -> bool:
    return bool(getattr(info.params, "phrase_matching", None))


def _ranks(info: models.PayloadIndexInfo) -> bool:
    return bool(getattr(info.params, "scoring", None))


def _most_compared(described: models.CollectionInfo, schema: CollectionSchema, limits: StoreLimits) -> int:
    """0 if the server refuses exact searches or limits the reads of a minute: counting the matches is a request of its
    own."""
    if not limits.exact or limits.reads is not None:
        return 0
    config = described.config
    vectors = config.params.vectors
    on_disk = isinstance(vectors, models.VectorParams) and vectors.on_disk
    return most_compared(schema, in_memory=not (on_disk or config.optimizer_config.memmap_threshold))
