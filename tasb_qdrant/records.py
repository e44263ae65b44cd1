"""The nouns that stages hand on to each other: passages in, hits out, and what a run reports."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from tasb_qdrant.errors import InvalidPassageError

MAX_ID_CHARS: Final = 1024
"""Longer passage ids are refused: an id that long is a text in the wrong column."""

MAX_PAYLOAD_DEPTH: Final = 32
"""Deeper payloads are refused: no filter reaches them, and parsers' stacks are finite."""

POINT_ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://tasb-qdrant/passage-id")
"""Fixed for ever: changing it would give every stored passage a new point id."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_UUID = re.compile(
    r"(?:urn:uuid:)?(?:\{)?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?:\})?",
    re.ASCII | re.IGNORECASE,
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def point_id(passage_id: str) -> int | str:
    """Qdrant's id of a passage: u64 or canonical UUID, derived from the passage id alone.

    Canonical decimal below 2**64 becomes that integer, a UUID in any spelling its canonical form,
    and anything else UUIDv5 of (POINT_ID_NAMESPACE, the id).
    """
    if _DECIMAL.fullmatch(passage_id) and (number := int(passage_id)) < 2**64:
        return number
    if _UUID.fullmatch(passage_id):
        return str(uuid.UUID(passage_id))
    return str(uuid.uuid5(POINT_ID_NAMESPACE, passage_id))


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to be found again, with its id, title and payload.

    `payload` is any JSON object; its fields can be filtered on by name. A passage that can't be stored
    can't be made: InvalidPassageError names the part and the reason.
    """

    id: str
    text: str
    title: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_string(self.id, "id")
        if not self.id or self.id.isspace():
            raise InvalidPassageError("the id is empty", field="id")
        if len(self.id) > MAX_ID_CHARS:
            raise InvalidPassageError(
                f"the id has {len(self.id)} characters, at most {MAX_ID_CHARS} are allowed", field="id"
            )
        _check_string(self.text, "text")
        if not self.text or self.text.isspace():
            raise InvalidPassageError("the text is empty", field="text")
        if self.title is not None:
            _check_string(self.title, "title")
        if not isinstance(self.payload, Mapping):
            raise InvalidPassageError(
                f"the payload must be an object, got {type(self.payload).__name__}", field="payload"
            )
        for key, value in self.payload.items():
            _check_key(key)
            _check_json(value, key, depth=1)

    @property
    def point_id(self) -> int | str:
        """Qdrant's id of this passage, derived from `id` alone."""
        return point_id(self.id)

    @property
    def encoder_text(self) -> str:
        """What the encoder reads: title and text joined by a space, as BEIR does."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Hit:
    """A found passage. `score` is the dot product of query and passage vector: higher is nearer."""

    id: str
    score: float
    text: str
    title: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain JSON object."""
        return {
            "id": self.id,
            "score": self.score,
            "text": self.text,
            "title": self.title,
            "payload": dict(self.payload),
        }


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that can't be stored. `line` is 1-based: a line of text, or a row of a table."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelContract:
    """What made the vectors of a collection; stored with it, checked by every later writer and reader.

    `weights` is the sha256 of the weights file, `precision` the arithmetic of the forward pass
    (fp32, bf16, fp16), `version` the package version that wrote it.
    """

    model: str
    weights: str
    pooling: str
    normalized: bool
    distance: str
    dim: int
    max_length: int
    precision: str
    query_prompt: str
    passage_prompt: str
    version: str

    def differences(self, other: ModelContract) -> list[tuple[str, object, object]]:
        """(what, mine, other's) for everything that would make vectors incomparable.

        The model's name is not compared (a folder and a hub id may hold the same weights), nor the
        precision (fp32, bf16 and fp16 vectors of one model agree to a cosine of 0.999 and better).
        """
        compared = (
            "weights",
            "pooling",
            "normalized",
            "distance",
            "dim",
            "max_length",
            "query_prompt",
            "passage_prompt",
        )
        found: list[tuple[str, object, object]] = []
        for name in compared:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            if name == "weights":
                found.append(("model", f"{self.model} ({mine[:12]})", f"{other.model} ({theirs[:12]})"))
            else:
                found.append((name.replace("_", " "), mine, theirs))
        return found

    def to_dict(self) -> dict[str, Any]:
        """As stored in the collection's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ModelContract:
        """The inverse of `to_dict`; unknown keys (of a later version) are ignored. Raises KeyError."""
        return cls(**{f.name: stored[f.name] for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run of `ingest` did. Every passage read is stored, skipped or rejected: they add up.

    `skipped` counts those already stored with the same content and those repeated word for word in the
    source; `truncated` those longer than the model reads; `tokens` what the encoder saw. `stages` holds
    the busy seconds of each stage; they overlap, so they don't add up to `seconds`.
    """

    collection: str
    location: str
    model: str
    device: str
    precision: str
    read: int
    stored: int
    skipped: int
    rejected: int
    truncated: int
    tokens: int
    points: int
    seconds: float
    stages: Mapping[str, float]
    rejects_file: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def passages_per_second(self) -> float:
        """Stored passages a second, over the whole run."""
        return self.stored / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded a second, over the whole run."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            **asdict(self),
            "warnings": list(self.warnings),
            "passages_per_second": round(self.passages_per_second, 1),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


def _check_string(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise InvalidPassageError(f"the {name} must be a string, got {type(value).__name__}", field=name)
    if bad := _UNSTORABLE.search(value):
        what = "a NUL character" if bad.group() == "\x00" else "half of a surrogate pair"
        raise InvalidPassageError(
            f"the {name} has {what} at offset {bad.start()}; is the file UTF-16 or binary?", field=name
        )


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidPassageError(
            f"payload field names must be strings, got {type(key).__name__}", field="payload"
        )
    if not key:
        raise InvalidPassageError("a payload field has an empty name", field="payload")
    _check_string(key, f"payload field name {key!r}")


def _check_json(value: object, name: str, *, depth: int) -> None:
    """Refuse what JSON can't say, and numbers that Qdrant would change: outside i64, or not finite."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_string(value, f"payload field {name!r}")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidPassageError(
                f"payload field {name!r} is {value}, which doesn't fit a 64-bit integer", field="payload"
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidPassageError(
                f"payload field {name!r} is {value}, which JSON can't say", field="payload"
            )
    elif isinstance(value, Mapping | list | tuple):
        if depth >= MAX_PAYLOAD_DEPTH:
            raise InvalidPassageError(
                f"payload field {name!r} is nested deeper than {MAX_PAYLOAD_DEPTH}", field="payload"
            )
        if isinstance(value, Mapping):
            for key, item in value.items():
                _check_key(key)
                _check_json(item, f"{name}.{key}", depth=depth + 1)
        else:
            for item in value:
                _check_json(item, f"{name}[]", depth=depth + 1)
    else:
        raise InvalidPassageError(
            f"payload field {name!r} has a value of type {type(value).__name__}, which is not JSON",
            field="payload",
        )
