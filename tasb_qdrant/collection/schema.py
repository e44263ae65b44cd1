"""What is stored with a collection about itself: the model contract, key names, wanted settings."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.errors import (
    CollectionReplacedError,
    ContractMismatchError,
    NotOurCollectionError,
    RequestRefusedError,
    SettingsError,
    StoreCorruptError,
)
from tasb_qdrant.records import IntegerIds, ModelContract, RoleFields, point_id
from tasb_qdrant.settings import (
    DEFAULT_AVG_LEN,
    Bm25Settings,
    CollectionSettings,
    IndexType,
    PayloadKeys,
    Quantization,
    SplitSettings,
    VectorType,
    first_problem,
)

METADATA_KEY: Final = "tasb_qdrant"
EDITED_KEY: Final = "tasb_qdrant_edited"
"""Its own key, as it is written without reading the rest: others may be writing that."""

FORMAT: Final = 3
"""The latest: ids from 2**53 up aren't integers, and texts may be split. Earlier versions must not write here: they
would store a second point for each of those ids, and texts whole. Format 2 had BM25, format 1 was without; both keep
the ids that they have."""

# Qdrant uses the name as a folder's name, and so does the embedded store.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}", re.ASCII)


class CollectionSchema(BaseModel):
    """The record itself: server collections hold it in their metadata, embedded ones in a sidecar file.

    `id` tells a collection from one of the same name that was made later; older ones have none, "".
    `indexing_threshold_kb` and `prevent_unoptimized` (None: never set) are what the person wants of the
    optimizers, and what is put back after every load. `prevent_suspended` says that the latter is off because of a
    load that is under way, or did not finish. `bm25` is None if passages have no sparse vectors, `split`
    if texts are stored whole. `fields` are those of the sources that passages came from; None where that isn't known.
    `integer_ids` says which passage ids are integers as point ids; older collections don't, and mean "u64".
    `edited` names the last edit of passages one by one, and is kept beside the record; "" if there was none.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 1
    id: str = ""
    contract: ModelContract
    keys: PayloadKeys
    quantization: Quantization = "none"
    vectors: VectorType = "float32"
    indexing_threshold_kb: int
    prevent_unoptimized: bool | None = None
    prevent_suspended: bool = False
    bm25: Bm25Settings | None = None
    integer_ids: IntegerIds = "u64"
    edited: str = Field(default="", exclude=True)
    split: SplitSettings | None = None
    fields: RoleFields | None = None

    @classmethod
    def of(cls, contract: ModelContract, settings: CollectionSettings, *, avg_len: float = DEFAULT_AVG_LEN) -> Self:
        """What a new collection with these settings records; `avg_len` is that of BM25, unless they have one."""
        return cls(
            format=FORMAT,
            id=uuid.uuid4().hex,
            contract=contract,
            keys=settings.keys or PayloadKeys(),
            quantization=settings.quantization,
            vectors=settings.vectors,
            indexing_threshold_kb=settings.indexing_threshold_kb,
            bm25=None if settings.bm25 is None else settings.bm25.measured(avg_len),
            integer_ids="u53",
            split=settings.split,
        )

    def point_id(self, passage_id: str) -> PointId:
        """The point id of a passage in this collection."""
        return point_id(passage_id, self.integer_ids)

    def to_metadata(self) -> dict[str, Any]:
        """A JSON object under one key of our own, beside whatever others keep there."""
        return {METADATA_KEY: self.model_dump(mode="json")}


def edit_mark() -> dict[str, Any]:
    """Metadata that names a new edit, to be put beside the record."""
    return {EDITED_KEY: uuid.uuid4().hex}


def read_schema(metadata: Mapping[str, Any] | None, *, name: str, location: str) -> CollectionSchema:
    """The inverse of `to_metadata`. Raises NotOurCollectionError, StoreCorruptError."""
    stored = (metadata or {}).get(METADATA_KEY)
    if stored is None:
        raise NotOurCollectionError(
            f"collection {name!r} at {location} has no model contract, so nothing says which encoder made its "
            "vectors; ingest into another --collection"
        )
    # First of all: a later format may not even validate.
    written = stored.get("format") if isinstance(stored, Mapping) else None
    if isinstance(written, int) and written > FORMAT:
        raise StoreCorruptError(
            f"collection {name!r} at {location} was made by a later version (format {written}, this one "
            f"reads {FORMAT}); upgrade tasb-qdrant"
        )
    try:
        schema = CollectionSchema.model_validate(stored)
        return schema.model_copy(update={"edited": str((metadata or {}).get(EDITED_KEY, ""))})
    except (ValidationError, SettingsError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else error
        raise StoreCorruptError(
            f"the model contract of collection {name!r} at {location} can't be read ({problem}); "
            "restore it from a backup, or ingest into another --collection"
        ) from None


def check_same(opened: CollectionSchema, metadata: Mapping[str, Any] | None, *, name: str, location: str) -> None:
    """Raises CollectionReplacedError unless `metadata`, read anew, is of the collection that was opened."""
    try:
        now = read_schema(metadata, name=name, location=location)
    except (NotOurCollectionError, StoreCorruptError) as error:
        raise CollectionReplacedError(name, [("its model contract", "there", str(error))]) from error
    models = opened.contract.differences(now.contract)
    differences: list[tuple[str, object, object]] = [*models]
    if opened.id != now.id:
        differences.insert(0, ("the collection", _numbered(opened.id), f"{_numbered(now.id)}, made since"))
    for part in ("keys", "bm25", "split", "integer_ids"):
        if (then := getattr(opened, part)) != (found := getattr(now, part)):
            differences.append((part, then, found))
    if differences:
        raise CollectionReplacedError(name, differences, another_model=bool(models))


def _numbered(identity: str) -> str:
    return f"number {identity[:12]}" if identity else "unnumbered"


_MADE_WITH: Final = (
    "on_disk",
    "hnsw_m",
    "hnsw_ef_construct",
    "indexing_threshold_kb",
    "shards",
    "replicas",
    "write_consistency",
)


def kept_settings(schema: CollectionSchema, wanted: CollectionSettings | None) -> tuple[str, ...]:
    """Which of the wanted settings an existing collection does not adopt, in a sentence.

    Defaults count as no wish. Of all but the quantization, the vectors' type and the threshold nothing is
    recorded, so that they are named whether they differ or not.
    """
    if wanted is None:
        return ()
    fields = CollectionSettings.model_fields
    kept = [name for name in _MADE_WITH if getattr(wanted, name) != fields[name].default]
    if wanted.indexing_threshold_kb == schema.indexing_threshold_kb and "indexing_threshold_kb" in kept:
        kept.remove("indexing_threshold_kb")
    if wanted.quantization not in ("none", schema.quantization):
        kept.insert(0, f"quantization ({schema.quantization}, not {wanted.quantization})")
    if wanted.vectors not in ("float32", schema.vectors):
        kept.insert(0, f"vectors ({schema.vectors}, not {wanted.vectors})")
    if not kept:
        return ()
    return (f"the collection exists, and was made with its own {', '.join(kept)}: these are kept as they are",)


def check_name(name: str) -> str:
    """The name itself, if both stores can hold it. Raises SettingsError."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"a collection's name has 1 to 200 letters, digits, '_', '-' or '.', not first a '.' or '-'; got {name!r}"
        )
    return name


def check_no_alias(name: str, aliases: Mapping[str, str], *, location: str) -> None:
    """Refuse to delete a collection by another name than its own. Raises RequestRefusedError."""
    if (target := aliases.get(name)) is not None:
        raise RequestRefusedError(
            f"{name!r} at {location} is an alias of collection {target!r}, so nothing was deleted; to delete that "
            f"collection, with its aliases, say --collection {target}"
        )


def check_contract(name: str, stored: ModelContract, given: ModelContract) -> None:
    """Refuse vectors of another model. Raises ContractMismatchError with every difference."""
    if differences := stored.differences(given):
        raise ContractMismatchError(name, differences)


def check_bm25(name: str, stored: Bm25Settings | None, given: Bm25Settings | None) -> None:
    """Refuse BM25 that the collection lacks, or has with other settings; None accepts what it has."""
    if given is None:
        return
    differences = [("BM25", "none", "BM25 vectors")] if stored is None else stored.differences(given)
    if differences:
        raise ContractMismatchError(name, differences)


def check_split(name: str, stored: SplitSettings | None, given: SplitSettings | None) -> None:
    """Refuse to split texts in another way than those that are there; None accepts how they are."""
    if given is not None and given != stored:
        raise ContractMismatchError(name, [("split", "none" if stored is None else str(stored), str(given))])


def check_keys(name: str, stored: PayloadKeys, given: PayloadKeys | None) -> None:
    """Refuse to write under other key names into a collection that is there; None accepts those it has."""
    if given is None:
        return
    differences = [
        (f"payload key of the {part}", getattr(stored, part), getattr(given, part))
        for part in ("id", "text", "title")
        if getattr(stored, part) != getattr(given, part)
    ]
    if differences:
        raise ContractMismatchError(name, differences)


def index_conflicts(
    there: Mapping[str, IndexType], wanted: Mapping[str, IndexType]
) -> Iterable[tuple[str, IndexType, IndexType]]:
    """(field, type there, type wanted) where they differ."""
    return [(field, there[field], kind) for field, kind in wanted.items() if there.get(field, kind) != kind]
