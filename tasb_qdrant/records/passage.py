"""Passages, their point ids, and inputs that are rejected."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, Literal

from tasb_qdrant.errors import InvalidPassageError
from tasb_qdrant.records.json_values import finite, json_value

MAX_ID_CHARS: Final = 1024
"""Longer passage ids are refused: an id that long is text from the wrong column."""


MAX_PAYLOAD_DEPTH: Final = 32
"""Deeper payloads are refused: no filter reaches that deep, and parser stacks are finite."""


POINT_ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://tasb-qdrant/passage-id")
"""Never change it: every stored passage would get a new point id."""


_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)


_UUID = re.compile(
    r"(?:urn:uuid:)?(?:\{)?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?:\})?",
    re.ASCII | re.IGNORECASE,
)


_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


IntegerIds = Literal["u53", "u64"]
"""Which decimal passage ids become integers: those below 2**53, or, in old collections, below 2**64."""


_INTEGERS_BELOW: Final[Mapping[IntegerIds, int]] = {"u53": 2**53, "u64": 2**64}


def point_id(passage_id: str, integers: IntegerIds = "u53") -> int | str:
    """Qdrant's id of a passage: integer or canonical UUID, derived from the passage id alone.

    Canonical decimal below 2**53 becomes that integer: JavaScript's clients round larger ones, and then read and
    delete other points. A UUID in any spelling becomes its canonical form, and anything else UUIDv5 of
    (POINT_ID_NAMESPACE, the id). A collection says by its `integers` which decimals it was filled with.
    Raises InvalidPassageError for what no id can be: half of a surrogate pair.
    """
    if _DECIMAL.fullmatch(passage_id) and (number := int(passage_id)) < _INTEGERS_BELOW[integers]:
        return number
    if _CANONICAL_UUID.fullmatch(passage_id):
        return passage_id
    if _UUID.fullmatch(passage_id):
        return str(uuid.UUID(passage_id.lower()))  # uuid accepts its "urn:uuid:" prefix in lower case only
    return _uuid5(passage_id)


def _uuid5(name: str) -> str:
    """uuid.uuid5(POINT_ID_NAMESPACE, name) as a string, four times as fast: every passage needs one."""
    try:
        digest = sha1(POINT_ID_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    except UnicodeEncodeError:
        raise _unstorable(name, "id", field="id") from None
    text = digest[:16].hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


class NulledPayload(dict[str, Any]):
    """A payload in which so many values that JSON can't represent, NaN and infinities, became null."""

    # Pairs, too, and without a count: so dataclasses.asdict makes a copy of a dictionary.
    def __init__(self, payload: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), nulled: int = 0) -> None:
        super().__init__(payload)
        self.nulled = nulled


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to be searched, with its id, title and payload.

    The text may be empty where the title isn't: some articles of TREC-COVID have no abstract.
    `payload` is any JSON object; its fields can be filtered on by name. Dates, times, decimals, UUIDs and
    NumPy's scalars become the JSON that they become from Parquet, too, and NaN and the infinities null, which an
    ingest counts. A passage that can't be stored
    can't be constructed: InvalidPassageError names the part and the reason.
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
        if self.title is not None and not _storable(self.title):
            raise _unstorable(self.title, "title", field="title")
        if (not text or text.isspace()) and (not self.title or self.title.isspace()):
            raise InvalidPassageError("the text is empty, and there is no title", field="text")
        # A dict is a Mapping, but checking against the abstract class takes ten times as long.
        if type(payload) is not dict and not isinstance(payload, Mapping):
            raise InvalidPassageError(f"the payload must be an object, got {type(payload).__name__}", field="payload")
        try:
            _check_payload(payload)
        except _ForeignValueError:
            payload, nulled = finite(json_value(payload))
            _check_payload(payload)
            object.__setattr__(self, "payload", NulledPayload(payload, nulled) if nulled else payload)

    @property
    def point_id(self) -> int | str:
        """Qdrant's id of this passage in a new collection, derived from `id` alone; see `Collection.point_id`."""
        return point_id(self.id)

    @property
    def encoder_text(self) -> str:
        """What the encoder reads, as `encoder_text` says."""
        return encoder_text(self.title, self.text)


def encoder_text(title: str | None, text: str) -> str:
    """Title and text joined by a space, as BEIR does; one alone as it is."""
    return f"{title} {text}" if title and text else title or text


@dataclass(frozen=True, slots=True)
class Reject:
    """An input of `source` that can't be stored, for this `reason`. `line` is 1-based: a line of text, or a row of a
    table."""

    source: str
    line: int
    reason: str


def _storable(value: object) -> bool:
    """The string, if it has no NUL and no surrogates. Encoding finds surrogates three times as fast as a regex does."""
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


class _ForeignValueError(InvalidPassageError):
    """A value that isn't JSON as it is, and may stand for one that is."""


def _check_payload(payload: Mapping[str, Any]) -> None:
    # Nearly all names and values are this plain, and a corpus has a billion of them.
    for key, value in payload.items():
        if type(key) is not str or not key or not key.isascii() or "\x00" in key:
            _check_key(key)
        kind = type(value)
        if kind is str:
            if value.isascii() and "\x00" not in value:
                continue
        elif kind is bool or value is None:
            continue
        _check_json(value, key, depth=1)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidPassageError(f"payload field names must be strings, got {type(key).__name__}", field="payload")
    if not key:
        raise InvalidPassageError("a payload field has an empty name", field="payload")
    if not _storable(key):
        raise _unstorable(key, f"payload field name {key!r}", field="payload")


def _check_json(value: object, name: str, *, depth: int) -> None:
    """Refuse what JSON can't represent, and numbers that Qdrant would change: outside i64, or not finite."""
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
            raise _ForeignValueError(f"payload field {name!r} is {value}, which JSON can't represent", field="payload")
    elif isinstance(value, (dict, list, tuple, Mapping)):  # a tuple: a union would be built anew at each call
        _check_nested(value, name, depth=depth)
    else:
        raise _ForeignValueError(
            f"payload field {name!r} has a value of type {type(value).__name__}, which JSON can't represent",
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
