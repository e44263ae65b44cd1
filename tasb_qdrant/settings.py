"""Small frozen settings objects, and the only place that reads the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.filters.path import qdrant_path

IndexType = Literal["keyword", "integer", "float", "bool", "datetime", "geo", "text", "uuid"]
"""The payload indexes that both stores have."""

Quantization = Literal["none", "int8", "binary", "turbo4"]
VectorType = Literal["float32", "float16"]
Transport = Literal["auto", "grpc", "rest"]

DEFAULT_STORE: Final = Path("tasb_qdrant_data")
"""The embedded store's folder when neither a server nor a folder is named."""

MAX_SECONDS: Final = 86_400
"""A day: longer waits are slips, and gRPC overflows for some of them."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:
        """Raises SettingsError, one line, where pydantic would raise an error of several."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(first_problem(error)) from None


class PayloadKeys(_Frozen):
    """Names under which a passage's id, text and title stand in the payload, beside its own fields."""

    id: str = Field(default="passage_id", min_length=1)
    text: str = Field(default="text", min_length=1)
    title: str = Field(default="title", min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({self.id, self.text, self.title}) < 3:
            raise ValueError("the payload keys of id, text and title must differ")
        return self


Bm25Language = Literal[
    "none",
    "arabic",
    "azerbaijani",
    "basque",
    "bengali",
    "catalan",
    "chinese",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hebrew",
    "hinglish",
    "hungarian",
    "indonesian",
    "italian",
    "japanese",
    "kazakh",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "slovene",
    "spanish",
    "swedish",
    "tajik",
    "turkish",
]
"""Those of which Qdrant's BM25 knows the stopwords, and of many the endings. "none" leaves words as they are."""

_UNSPACED: Final = frozenset({"chinese", "japanese"})
"""Languages that put no spaces between words."""


DEFAULT_AVG_LEN: Final = 256.0
"""Qdrant's own, for passages that nobody has measured."""


class Bm25Settings(_Frozen):
    """How the words of a passage become its sparse vector `bm25`, and those of a query; the defaults are Qdrant's.

    `stemmer` and `stopwords` say whether the language's endings and stopwords are left out. `tokenizer` None means
    "multilingual", which knows words without spaces, for Chinese and Japanese, and "word" elsewhere. `k` is how much a
    word counts that comes again, `b` how much the length of a passage matters, beside `avg_len`, the passages'
    average in words without stopwords; None means that it is measured.
    """

    language: Bm25Language = "english"
    stemmer: bool = True
    stopwords: bool = True
    ascii_folding: bool = False
    tokenizer: Literal["word", "multilingual"] | None = None
    k: float = Field(default=1.2, ge=0, allow_inf_nan=False)
    b: float = Field(default=0.75, ge=0, le=1)
    avg_len: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def differences(self, wanted: Bm25Settings) -> list[tuple[str, object, object]]:
        """(what, mine, wanted) for all that would make other vectors; an `avg_len` of None wants no certain one."""
        pairs = [(name, getattr(self, name), getattr(wanted, name)) for name in type(self).model_fields]
        pairs = [pair for pair in pairs if pair[0] not in ("avg_len", "tokenizer")]
        pairs.append(("tokenizer", self.words_by, wanted.words_by))
        if wanted.avg_len is not None:
            pairs.append(("avg_len", self.avg_len, wanted.avg_len))
        return [(f"BM25 {name}", mine, other) for name, mine, other in pairs if mine != other]

    def measured(self, avg_len: float) -> Bm25Settings:
        """The same with nothing left open; `avg_len` is for passages whose average isn't given."""
        return self.model_copy(update={"avg_len": self.avg_len or avg_len, "tokenizer": self.words_by})

    @property
    def words_by(self) -> Literal["word", "multilingual"]:
        """The tokenizer in force."""
        return self.tokenizer or ("multilingual" if self.language in _UNSPACED else "word")


class CollectionSettings(_Frozen):
    """How a collection is made. An existing collection keeps what it has; only indexes are added.

    `indexing_threshold_kb` is what is in force after a bulk load; during the load it is 0 (no building).
    `vectors` is how they are stored; they are given and scored as float32 either way. `replicas` "auto" is 3,
    with a write consistency of 2, on a cluster of three nodes and more, and 1 elsewhere.
    `keys` None means those that the collection has, or the defaults for a new one. `bm25` gives every passage a
    sparse vector of its words, too; None means what the collection has, and none for a new one.
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

    @field_validator("indexes")
    @classmethod
    def _as_qdrant_spells_them(cls, indexes: dict[str, IndexType]) -> dict[str, IndexType]:
        spelled = {qdrant_path(field): kind for field, kind in indexes.items()}
        if len(spelled) < len(indexes):
            raise ValueError(f"a field is named twice, in two spellings: {', '.join(indexes)}")
        return spelled


class StoreSettings(_Frozen):
    """Where a collection lives: on a Qdrant server (`url`) or embedded in a folder (`path`).

    The key is a SecretStr, so that no repr, log or traceback shows it.
    """

    url: str | None = None
    path: Path | None = None
    api_key: SecretStr | None = None
    transport: Transport = "auto"
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    timeout: float = Field(default=60.0, gt=0, le=MAX_SECONDS, allow_inf_nan=False)
    retry_seconds: float = Field(default=120.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)
    allow_plain_http_key: bool = False

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str | None) -> str | None:
        return url if url is None else _checked_url(url)

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        # Checked here, since what the HTTP and gRPC libraries say of such a header has the key in it.
        if key is not None and not _HEADER_SAFE.fullmatch(key.get_secret_value()):
            raise ValueError("the API key must be printable ASCII without spaces and line breaks")
        return key

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("name either a server (url) or a folder (path)")
        return self

    @property
    def location(self) -> str:
        """The url or folder, for messages."""
        return self.url if self.url is not None else str(self.path)

    def at(self, url: str, *, transport: Transport) -> StoreSettings:
        """The same key and limits for another server. Raises SettingsError."""
        return StoreSettings(**{**dict(self), "url": url, "path": None, "transport": transport, "grpc_port": None})


_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")


def _checked_url(url: str) -> str:
    """The url itself; ValueError when it is no server's, or could show a secret wherever it is shown."""
    if "@" in url:
        raise ValueError("the url must not hold a user or a password; a key goes into QDRANT_API_KEY")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is read only now, and may be none
    except ValueError:
        raise ValueError(f"the url has no valid host and port: {url!r}") from None
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the url must start with http:// or https://, got {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("the url must end before '?' and '#'; a key goes into QDRANT_API_KEY")
    if not host or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"the url must be like http://localhost:6333, got {url!r}")
    return url


class _Environment(BaseSettings):
    """`QDRANT_URL` and `QDRANT_API_KEY`. Read once for each call that needs them, never at import."""

    model_config = SettingsConfigDict(env_prefix="QDRANT_", extra="ignore")

    url: str | None = None
    api_key: SecretStr | None = None


class _OpenMP(BaseSettings):
    """What GNU OpenMP reads when torch is loaded."""

    model_config = SettingsConfigDict(extra="ignore")

    gomp_spincount: str = ""
    omp_wait_policy: str = ""


class _UserFolders(BaseSettings):
    """`XDG_STATE_HOME`, read when it is needed."""

    model_config = SettingsConfigDict(env_prefix="XDG_", extra="ignore")

    state_home: Path | None = None


def user_state_folder() -> Path:
    """The folder for what a later run of this program goes on from. It may not be there. Raises SettingsError."""
    named = _UserFolders().state_home
    if named is None or not named.is_absolute():  # a relative one is to be ignored, says the specification
        try:
            named = Path.home() / ".local" / "state"
        except RuntimeError:
            raise SettingsError(
                "this user has no home folder, so that there is none for the state of a run; name one with --state"
            ) from None
    return named / "tasb-qdrant"


def store_settings(
    *,
    url: str | None = None,
    path: str | Path | None = None,
    api_key: str | SecretStr | None = None,
    transport: Transport = "auto",
    grpc_port: int | None = None,
    timeout: float = 60.0,
    retry_seconds: float = 120.0,
    allow_plain_http_key: bool = False,
) -> StoreSettings:
    """Where to go: what is given first, else `$QDRANT_URL`, else the embedded store in DEFAULT_STORE.

    The key is `api_key`, else `$QDRANT_API_KEY`. Raises SettingsError.
    """
    if url is not None and path is not None:
        raise SettingsError(f"both a server ({url}) and a folder ({path}) are named; give one of --url and --path")
    environment = _Environment()
    if url is None and path is None:
        url = environment.url or None
    if url is None and path is None:
        path = DEFAULT_STORE
    key = SecretStr(api_key) if isinstance(api_key, str) else api_key
    if key is None and url is not None:
        key = environment.api_key
    return StoreSettings(
        url=url,
        path=None if path is None else Path(path),
        api_key=key if key is not None and key.get_secret_value() else None,
        transport=transport,
        grpc_port=grpc_port,
        timeout=timeout,
        retry_seconds=retry_seconds,
        allow_plain_http_key=allow_plain_http_key,
    )


def waiting_is_chosen() -> bool:
    """Whether the environment says how OpenMP's threads wait for work."""
    chosen = _OpenMP()
    return bool(chosen.gomp_spincount or chosen.omp_wait_policy)


def check_whole_number(name: str, value: object) -> None:
    """Raises SettingsError unless the value is a whole number, 0 or more. True would pass for 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{name} must be a whole number, 0 or more, got {repr(value)[:100]}")


def first_problem(error: ValidationError) -> str:
    """One line out of pydantic's many: where, what is wrong with it, and what was found, unless it may be secret."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if not place:
        return message
    # A misspelt name may be that of the key; what our own validators say has the value in it, if it may be shown.
    hidden = problem["type"] in ("extra_forbidden", "value_error", "missing") or place in ("api_key", "url")
    found = problem["input"]
    if hidden or not isinstance(found, str | int | float):
        return f"{place}: {message}"
    return f"{place}: {message}, got {repr(found)[:100]}"


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
