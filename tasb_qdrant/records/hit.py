"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic

from typing_extensions import TypeVar  # typing's has no default before Python 3.13

from tasb_qdrant.records.arrays import Float32s
from tasb_qdrant.records.html import table

_COLUMNS: Final = 8
"""Payload fields that a notebook shows: more make a table that nobody reads."""

P = TypeVar("P", default=dict[str, Any], covariant=True)
"""The type of a hit's payload: the stored mapping, or an instance of the caller's pydantic model."""


@dataclass(frozen=True, slots=True)
class Hit(Generic[P]):
    """A passage that was found: its `id`, `text` and `title` as the source has them.

    `score`, higher is better, is the dot product of the query and passage vectors, or whatever the search mode uses
    instead; 0 for reads that don't rank. `payload` is the stored mapping, or an instance of the model that the searcher
    was given. `vector`, float32 (dim,), is None unless it was asked for. `invalid` says why the payload doesn't fit the
    model and stayed a mapping, if the searcher keeps such hits; else it is "".
    """

    id: str
    score: float
    text: str
    title: str | None = None
    payload: P = field(default_factory=dict)  # type: ignore[assignment]  # right for the default of P
    vector: Float32s | None = field(default=None, compare=False, repr=False)
    invalid: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As a plain JSON object, without the vector if there is none.

        A payload's keys are sorted: a server gives them in one order over REST and in another over gRPC.
        """
        payload: Any = self.payload
        return {
            "id": self.id,
            "score": self.score,
            "text": self.text,
            "title": self.title,
            "payload": _ordered(payload) if isinstance(payload, Mapping) else payload.model_dump(mode="json"),
            **({} if self.vector is None else {"vector": self.vector.tolist()}),
            **({"invalid": self.invalid} if self.invalid else {}),
        }

    def _repr_html_(self) -> str:
        """For notebooks."""
        return hits_table([self])


def _ordered(value: Any) -> Any:
    """The same JSON with the keys of every object in it sorted."""
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class HitGroup(Generic[P]):
    """The best `hits`, best first, that share one `value` of a payload field."""

    value: str | int
    hits: list[Hit[P]]

    def _repr_html_(self) -> str:
        """For notebooks."""
        return table([], [[self.value]]) + hits_table(self.hits)


def hits_table(hits: Sequence[Hit[Any]], *, after: Sequence[str] = ()) -> str:
    """The hits as an HTML table, each field of a payload a column, and a paragraph for each sentence `after` it."""
    payloads = [_fields(hit.payload) for hit in hits]
    names = list(dict.fromkeys(name for fields in payloads for name in fields))[:_COLUMNS]
    rows = [
        [rank, hit.score, hit.id, hit.title, hit.text, *(fields.get(name) for name in names)]
        for rank, (hit, fields) in enumerate(zip(hits, payloads, strict=True), 1)
    ]
    return table(["", "score", "id", "title", "text", *names], rows, after=after)


def _fields(payload: Any) -> Mapping[str, Any]:
    """A payload, or an instance of the caller's model, by field."""
    return payload if isinstance(payload, Mapping) else dict(payload)


@dataclass(frozen=True, slots=True)
class FacetCount:
    """A `value` of a payload field, and the `count` of passages that have it."""

    value: str | int | bool
    count: int
