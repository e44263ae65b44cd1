"""The nouns that stages hand on to each other: passages in, hits out, and what a run reports."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, Generic

from typing_extensions import TypeVar  # that of typing has no default before Python 3.13

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.verification import VerifyReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

P = TypeVar("P", default=dict[str, Any], covariant=True)
"""What a hit's payload is: the mapping that was stored, or an instance of the caller's pydantic model."""

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
        return str(uuid.UUID(passage_id.lower()))  # uuid knows its "urn:uuid:" prefix in lower case only
    return _uuid5(passage_id)


def _uuid5(name: str) -> str:
    """uuid.uuid5(POINT_ID_NAMESPACE, name) as a string, in a quarter of its time: every passage needs one."""
    digest = sha1(POINT_ID_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    text = digest[:16].hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


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
        passage_id, text, payload = self.id, self.text, self.payload
        if not _storable(passage_id):
            raise _unstorable(passage_id, "id", field="id")
        if not passage_id or passage_id.isspace():
            raise InvalidPassageError("the id is empty", field="id")
        if len(passage_id) > MAX_ID_CHARS:
            raise InvalidPassageError(
                f"the id has {len(passage_id)} characters, at most {MAX_ID_CHARS} are allowed", field="id"
            )
        if not _storable(text):
            raise _unstorable(text, "text", field="text")
        if not text or text.isspace():
            raise InvalidPassageError("the text is empty", field="text")
        if self.title is not None and not _storable(self.title):
            raise _unstorable(self.title, "title", field="title")
        # A dict is a Mapping, but asking the abstract class takes ten times as long.
        if type(payload) is not dict and not isinstance(payload, Mapping):
            raise InvalidPassageError(f"the payload must be an object, got {type(payload).__name__}", field="payload")
        for key, value in payload.items():
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
class Hit(Generic[P]):
    """A found passage. `score` says how near it is, higher is nearer: the dot product of query and passage vector,
    or what the way of searching makes of it; 0 where nothing was asked to be near.

    `payload` is the mapping that is stored, or an instance of the model that the searcher was given. `vector`,
    float32 (dim,), is None unless it was asked for. `invalid` says why the payload is no instance of the model and
    stays a mapping, where the searcher keeps such hits; else it is "".
    """

    id: str
    score: float
    text: str
    title: str | None = None
    payload: P = field(default_factory=dict)  # type: ignore[assignment]  # right for the default of P
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    invalid: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain JSON object; without the vector if there is none."""
        payload: Any = self.payload
        return {
            "id": self.id,
            "score": self.score,
            "text": self.text,
            "title": self.title,
            "payload": dict(payload) if isinstance(payload, Mapping) else payload.model_dump(mode="json"),
            **({} if self.vector is None else {"vector": self.vector.tolist()}),
            **({"invalid": self.invalid} if self.invalid else {}),
        }


@dataclass(frozen=True, slots=True)
class HitGroup(Generic[P]):
    """The nearest passages that have one value of a payload field."""

    value: str | int
    hits: list[Hit[P]]


@dataclass(frozen=True, slots=True)
class FacetCount:
    """A value of a payload field, and how many passages have it."""

    value: str | int | bool
    count: int


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
    (fp32, bf16, fp16, int8, fp8), `version` the package version that wrote it. `revision` is the commit of the hub's
    repository `model`, "" for a folder and in contracts of before it was recorded.
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
    revision: str = ""

    def differences(self, other: ModelContract) -> list[tuple[str, object, object]]:
        """(what, mine, other's) for everything that would make vectors incomparable.

        The model's name and revision are not compared (a folder and a hub id, and several commits, may
        hold the same weights), nor the precision (fp32, bf16 and fp16 vectors of one model agree to a
        cosine of 0.999 and better, int8's and fp8's with theirs to 0.99).
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
        """The inverse of `to_dict`, also of an earlier version's; unknown keys (of a later one) are ignored.

        Raises KeyError.
        """
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored or f.default is MISSING})


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run of `ingest` did. Every passage read is stored, updated, skipped or rejected: they add up.

    `updated` counts those of which only the payload was new, and whose vectors stayed; `skipped` those
    already stored with the same content and those repeated word for word in the source; `truncated` those
    longer than the model reads; `tokens` what the encoder saw. `points` is the collection's exact count
    afterwards, `points_expected` what it must be (None where an overwriting run
    can't tell). `deleted` counts points that the source of a synchronisation didn't have; `verification` is what
    was found afterwards, where that was asked for. `notes` say what was chosen on the person's behalf.
    `loading_seconds` are those of `seconds` in which passages went from the source to the collection, `stages`
    the busy seconds of each stage; they overlap.

    `resumed` is empty, or what the interrupted runs had done from whose checkpoint this one went on: their
    `windows` with so many `points`, of which they `stored` some, `skipped` the others, and encoded `tokens`.
    Here these points count as skipped; only `truncated` counts theirs, too.
    """

    collection: str
    location: str
    model: str
    device: str
    precision: str
    read: int
    stored: int
    updated: int
    skipped: int
    rejected: int
    truncated: int
    tokens: int
    points: int
    points_expected: int | None
    seconds: float
    loading_seconds: float
    stages: Mapping[str, float]
    rejects_file: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    proposed_indexes: Mapping[str, str] = field(default_factory=dict)
    resumed: Mapping[str, int] = field(default_factory=dict)
    deleted: int = 0
    verification: VerifyReport | None = None

    @property
    def verified(self) -> bool:
        """Whether the collection holds just as many points as it should after this run, and was found equal."""
        counted = self.points_expected is None or self.points == self.points_expected
        return counted and (self.verification is None or self.verification.equal)

    @property
    def passages_per_second(self) -> float:
        """Stored passages a second of loading: opening the model and building the index don't count."""
        return self.stored / self.loading_seconds if self.loading_seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded a second of loading."""
        return self.tokens / self.loading_seconds if self.loading_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            **asdict(self),
            "verification": None if self.verification is None else self.verification.to_dict(),
            "verified": self.verified,
            "passages_per_second": round(self.passages_per_second, 1),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


def _storable(value: object) -> bool:
    """A string without NUL and surrogates. Encoding finds surrogates three times as fast as a regex."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unstorable(value: object, name: str, *, field: str) -> InvalidPassageError:
    """Why `_storable` refused the value."""
    if not isinstance(value, str) or (bad := _UNSTORABLE.search(value)) is None:
        return InvalidPassageError(f"the {name} must be a string, got {type(value).__name__}", field=field)
    what = "a NUL character" if bad.group() == "\x00" else "half of a surrogate pair"
    return InvalidPassageError(
        f"the {name} has {what} at offset {bad.start()}; is the file UTF-16 or binary?", field=field
    )


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidPassageError(f"payload field names must be strings, got {type(key).__name__}", field="payload")
    if not key:
        raise InvalidPassageError("a payload field has an empty name", field="payload")
    if not _storable(key):
        raise _unstorable(key, f"payload field name {key!r}", field="payload")


def _check_json(value: object, name: str, *, depth: int) -> None:
    """Refuse what JSON can't say, and numbers that Qdrant would change: outside i64, or not finite."""
    if isinstance(value, str):
        if not _storable(value):
            raise _unstorable(value, f"payload field {name!r}", field="payload")
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidPassageError(
                f"payload field {name!r} is {value}, which doesn't fit a 64-bit integer", field="payload"
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidPassageError(f"payload field {name!r} is {value}, which JSON can't say", field="payload")
    elif isinstance(value, (dict, list, tuple, Mapping)):  # a tuple: a union would be built at each call
        _check_nested(value, name, depth=depth)
    else:
        raise InvalidPassageError(
            f"payload field {name!r} has a value of type {type(value).__name__}, which is not JSON",
            field="payload",
        )


def _check_nested(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], name: str, *, depth: int) -> None:
    if depth >= MAX_PAYLOAD_DEPTH:
        raise InvalidPassageError(f"payload field {name!r} is nested deeper than {MAX_PAYLOAD_DEPTH}", field="payload")
    if isinstance(value, (list, tuple)):
        item_name = f"{name}[]"
        for item in value:
            _check_json(item, item_name, depth=depth + 1)
    else:
        for key, item in value.items():
            _check_key(key)
            _check_json(item, f"{name}.{key}", depth=depth + 1)
