"""Replacing passages, written once for both searchers: what the vector is made of is encoded again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as replace_fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasb_qdrant.collection.editing import EditSteps
from tasb_qdrant.collection.index_types import TypeCheck
from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.errors import InvalidPassageError, SettingsError
from tasb_qdrant.records import Passage
from tasb_qdrant.records.edit import EditReport
from tasb_qdrant.search.session import Session
from tasb_qdrant.settings import SplitSettings
from tasb_qdrant.steps import Steps, encode_passages, work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

BATCH: Final = 100
"""Passages that are encoded and stored at a time."""


def edits(session: Session[Any]) -> EditSteps:
    """The edits that need no encoder, and that keep to the payload's model, if there is one."""
    return EditSteps(session.collection, check=session.hits.check if session.hits.is_typed else None)


def replace(session: Session[T], passages: Passage | Iterable[Passage]) -> Steps[EditReport]:
    """Give passages that are there another text, title and payload; those that aren't there are not stored."""
    collection = session.collection
    # First of all: what follows, from the points' ids on, is made for the collection that has the name now.
    yield from session.reads.state.confirmed()
    given = _given(session, passages)
    found = yield from session.reads.retrieve(list(given))
    stored = {point.id: point.payload or {} for point in found}
    if collection.split is not None:
        given = {point: _of_document(one, collection.split, stored.get(point, {})) for point, one in given.items()}
    yield from _check(session, given.values())
    there = {point: passage for point, passage in given.items() if point in stored}
    new = [point for point, passage in there.items() if not _reads_alike(session, passage, stored[point])]
    kept = {point: to_payload(one, collection.keys) for point, one in there.items() if point not in set(new)}
    if collection.split is not None:
        yield from _check_length(session, [there[point] for point in new], collection.split)
    if there:
        yield from work(collection.mark_edited)
    truncated = 0
    for start in range(0, len(new), BATCH):
        part = new[start : start + BATCH]
        truncated += yield from _store(session, part, [there[point] for point in part])
    if kept:
        yield from work(lambda: collection.replace_payloads(kept))
    return EditReport(
        collection.name,
        collection.location,
        "replaced",
        matched=len(there),
        changed=len(there),
        missing=tuple(passage.id for point, passage in given.items() if point not in stored),
        encoded=len(new),
        truncated=truncated,
    )


def _given(session: Session[T], passages: Passage | Iterable[Passage]) -> dict[PointId, Passage]:
    """The passages by their points. Raises SettingsError."""
    given: dict[PointId, Passage] = {}
    for passage in [passages] if isinstance(passages, Passage) else passages:
        _check_kind(passage)
        point = session.collection.point_id(passage.id)
        if point in given:
            raise SettingsError(f"passage {passage.id!r} is given twice; leave out one of them")
        given[point] = passage
    return given


def _check(session: Session[T], passages: Iterable[Passage]) -> Steps[None]:
    """Raises InvalidPassageError, PayloadInvalidError for a payload that can't be stored."""
    indexes = yield from work(session.collection.indexes, "read the payload indexes")
    check = TypeCheck(indexes)
    for passage in passages:
        check(to_payload(passage, session.collection.keys))
        session.hits.check(dict(passage.payload), passage.id)


def _of_document(passage: Passage, split: SplitSettings, stored: Mapping[str, Any]) -> Passage:
    """The passage with the id of its document as it is stored. Raises InvalidPassageError for another one."""
    if (document := stored.get(split.field)) is None:
        return passage
    if passage.payload.get(split.field, document) != document:
        raise InvalidPassageError(
            f"field {split.field!r} of passage {passage.id!r} is the id of the document that it was split from, "
            f"{document!r}, which stays; leave the field out",
            field="payload",
        )
    return replace_fields(passage, payload={**passage.payload, split.field: document})


def _check_length(session: Session[T], passages: Sequence[Passage], split: SplitSettings) -> Steps[None]:
    """Raises InvalidPassageError for a passage that is longer than those that texts are split into."""
    encoder = session.encoder
    for start in range(0, len(passages), BATCH):
        part = passages[start : start + BATCH]
        texts = [one.encoder_text for one in part]
        tokens = yield from work(partial(encoder.tokenize_passages, texts), "tokenized passages", encodes=True)
        for passage, length in zip(part, tokens.lengths.tolist(), strict=True):
            # What fills the model to the last token may have been cut off there.
            cut_off = (
                length == encoder.contract.max_length
                and (
                    yield from work(
                        partial(encoder.tokenize_passages, [passage.encoder_text]), "tokenized", encodes=True
                    )
                ).truncated
            )
            if length > split.tokens or cut_off:
                raise InvalidPassageError(
                    f"passage {passage.id!r} would have {'more than ' if cut_off else ''}{length} tokens, and texts "
                    f"are split into passages of {split.tokens} here; ingest its document again, which splits it anew",
                    field="text",
                )


def _check_kind(passage: object) -> None:
    if not isinstance(passage, Passage):
        raise SettingsError(f"expected passages, got {type(passage).__name__}; make them with Passage(id, text)")


def _reads_alike(session: Session[T], passage: Passage, stored: Mapping[str, Any]) -> bool:
    """Whether the encoder reads the same in what is stored, so that the vectors stay."""
    keys = session.collection.keys
    return (stored.get(keys.text), stored.get(keys.title) or None) == (passage.text, passage.title or None)


def _store(session: Session[T], points: Sequence[PointId], passages: Sequence[Passage]) -> Steps[int]:
    """Encode and store the passages; how many are longer than the model reads."""
    collection, encoder = session.collection, session.encoder
    texts = [passage.encoder_text for passage in passages]
    vectors: NDArray[np.float32] = yield from encode_passages(texts)
    tokens = yield from work(lambda: encoder.tokenize_passages(texts), "tokenized passages", encodes=True)
    sparse = None if collection.bm25 is None else Bm25Encoder(collection.bm25).encode_passages(texts)
    yield from work(lambda: collection.upsert(PointBatch(passages, vectors, points, sparse)))
    return tokens.truncated
