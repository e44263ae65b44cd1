"""The options of a search as values: what the store is asked for, and how passages are ranked.

Everything is checked here, before anything is encoded or sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, get_args

from tasb_qdrant.collection.reads.questions import (
    DEPTH,
    MAX_COUNT,
    Diverse,
    Fused,
    Lexical,
    Nearest,
    Query,
    QueryOptions,
    ReadOptions,
    Selection,
    check_count,
)
from tasb_qdrant.errors import InvalidInputError, SettingsError
from tasb_qdrant.keywords import chosen, expanded_signature
from tasb_qdrant.records.path import parse_path
from tasb_qdrant.search.options import Fusion, HitOptions, Mode, ModeOptions, ParamOptions, PartOptions, ReadingOptions
from tasb_qdrant.search.where import parsed_filter

if TYPE_CHECKING:
    from tasb_qdrant.search.hits import HitMaker

C = TypeVar("C", bound=Callable[..., Any])

DEEPER: Final = 5
"""The fewest candidates for each hit that a fused or diverse query chooses from."""


def search_signature(*owners: Callable[..., Any]) -> Callable[[C], C]:
    """`expanded_signature` for a search; `owners` have the defaults of options that not every search has."""
    shown: dict[str, object] = {"with_payload": True, "with_text": True, "with_vectors": False}
    return expanded_signature(*owners, QueryOptions, ReadOptions, Ranking, **shown)


def query_options(hits: HitMaker[Any], options: HitOptions, **part: Unpack[PartOptions]) -> QueryOptions:
    """The options as the store takes them, with what `hits` need of the payload. Raises SettingsError, FilterError."""
    where = options.get("where")
    fields = payload_fields(options.get("with_payload", True))
    return QueryOptions(
        where=None if where is None else parsed_filter(where),
        payload=hits.fields(fields, text=options.get("with_text", True)),
        vectors=options.get("with_vectors", False),
        read=ReadOptions(**chosen(ReadingOptions, options)),
        **part,
        **chosen(ParamOptions, options),
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How passages are ranked: it makes a store's queries from the dense and lexical queries of texts.

    `weights` are those of the dense and the bm25 list. `depth` is how many candidates each list of a hybrid search
    gives, and how many a diverse one chooses from. `best_per` is the payload field of which each value comes once.
    """

    mode: Mode = "dense"
    fusion: Fusion = "rrf"
    weights: Sequence[float] | None = None
    depth: int | None = None
    diversity: float | None = None
    best_per: str | None = None

    @classmethod
    def of(cls, options: ModeOptions, *, diversity: float | None = None, best_per: str | None = None) -> Ranking:
        """Raises SettingsError."""
        given = chosen(ModeOptions, options)
        if (weights := given.get("weights")) is not None:
            given["weights"] = tuple(weights)
        return cls(**given, diversity=diversity, best_per=best_per)

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, get_args(Mode))
        _check_choice("fusion", self.fusion, get_args(Fusion))
        if self.depth is not None:
            check_count("depth", self.depth, least=1)
        self._check_weights()
        if self.best_per is not None:
            _check_path("best_per", self.best_per)
        if self.diversity is not None:
            _check_share("diversity", self.diversity)
            if self.mode != "dense":
                raise SettingsError(
                    f"diversity is for mode 'dense', and the mode is {self.mode!r}; leave one of them out"
                )

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        if self.mode != "hybrid" or self.fusion != "rrf":
            raise SettingsError("weights are for mode 'hybrid' with fusion 'rrf'; leave them out, or choose these")
        weights: tuple[object, ...] = tuple(self.weights)
        if len(weights) != 2 or not all(map(_is_weight, weights)) or not any(weights):
            raise SettingsError(f"weights are two numbers, 0 or more, of the dense and the bm25 list; got {weights!r}")

    def query(self, dense: Nearest, lexical: Lexical | None, *, limit: int, least: int = DEPTH) -> Query:
        """Both of them fused, or the dense one alone, made diverse if that is asked for.

        The candidates are for so many hits, wherever in the list they are: those of other parts are of the same list.
        Unless the caller has said how many, they are `least` at least.
        """
        candidates = max(self.depth or max(least, DEEPER * limit), limit)
        if lexical is not None:
            weights = None if self.weights is None else tuple(self.weights)
            return Fused((dense, lexical), self.fusion, weights, depth=min(candidates, MAX_COUNT))
        if self.diversity is not None:
            return Diverse(dense, self.diversity, candidates=min(candidates, MAX_COUNT))
        return dense


def payload_fields(chosen: bool | Iterable[str]) -> Selection:
    """All, none or some fields. Raises SettingsError."""
    if isinstance(chosen, bool):
        return chosen
    if isinstance(chosen, str):
        raise SettingsError(f"with_payload takes True, False or a list of fields, got the string {chosen!r}")
    return tuple(_field_name(name) for name in chosen)


def _field_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise SettingsError(f"with_payload takes names of fields, got {name!r}")
    return name


def checked_query(query: object) -> str:
    """Raises SettingsError for anything but a string, InvalidInputError for an empty one."""
    if not isinstance(query, str):
        raise SettingsError(f"the query must be a string, got {type(query).__name__}; use search_batch for several")
    if not query.strip():
        raise InvalidInputError("the query is empty; write what to search for")
    return query


def checked_queries(queries: Iterable[str]) -> list[str]:
    """The queries as a list, read once. Raises SettingsError for anything but strings, InvalidInputError."""
    if isinstance(queries, str):
        raise SettingsError("search_batch takes a list of queries, got one string; use search for one")
    if not isinstance(queries, Iterable):
        raise SettingsError(f"search_batch takes a list of queries, got {type(queries).__name__}")
    asked = list(queries)
    for index, query in enumerate(asked):
        if not isinstance(query, str):
            raise SettingsError(f"queries must be strings, query {index} is of type {type(query).__name__}")
        if not query.strip():
            raise InvalidInputError(f"query {index} is empty; write what to search for")
    return asked


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(f"{name} is one of {', '.join(known)}; got {value!r}")


def _check_path(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{name} is the name of a payload field, such as 'doc_id', got {value!r}")
    parse_path(value)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _check_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SettingsError(f"{name} is a number from 0 to 1, got {value!r}")
