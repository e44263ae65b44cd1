"""What a search is asked for beside its query: checked before anything is encoded or sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

from tasb_qdrant.collection.reads.questions import DEPTH, FindOptions, ReadOptions, Where, check_count
from tasb_qdrant.errors import InvalidInputError, SettingsError

Mode: TypeAlias = Literal["dense", "bm25", "hybrid"]
Fusion: TypeAlias = Literal["rrf", "dbsf"]
Strategy: TypeAlias = Literal["average_vector", "best_score", "sum_scores"]
Consistency: TypeAlias = int | Literal["majority", "quorum", "all"]
Filterable: TypeAlias = "str | Where | bool"
"""A bool is what type checkers take a comparison of `fields(Model)` for; a real one is refused."""

DEEPER: Final = 5
"""A fused or diverse query chooses from so many candidates for each hit wanted, at least."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`find` without its filter, which `where` is as the caller gave it.

    `weights` are those of the dense and the bm25 list. `depth` (None: five for each hit wanted, at least 100) is how
    many candidates each list of a hybrid search gives, and how many a diverse one chooses from. Without `text`,
    hits come without their text and title.
    """

    find: FindOptions = field(default_factory=FindOptions)
    where: Filterable | None = None
    mode: Mode = "dense"
    fusion: Fusion = "rrf"
    weights: tuple[float, float] | None = None
    depth: int | None = None
    diversity: float | None = None
    text: bool = True

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, get_args(Mode))
        _check_choice("fusion", self.fusion, get_args(Fusion))
        if self.depth is not None:
            check_count("depth", self.depth, least=1)
        self._check_weights()
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
        weights: tuple[object, ...] = self.weights
        if len(weights) != 2 or not all(map(_is_weight, weights)) or not any(weights):
            raise SettingsError(f"weights are two numbers, 0 or more, of the dense and the bm25 list; got {weights!r}")

    @property
    def candidates(self) -> int:
        """How many candidates a list gives, at least as many as hits are wanted."""
        wanted = self.find.limit + self.find.offset
        return max(self.depth or max(DEPTH, DEEPER * wanted), wanted)


def wanted(
    *,
    limit: int,
    offset: int = 0,
    where: Filterable | None = None,
    mode: Mode = "dense",
    fusion: Fusion = "rrf",
    weights: Sequence[float] | None = None,
    depth: int | None = None,
    diversity: float | None = None,
    score_threshold: float | None = None,
    exact: bool = False,
    hnsw_ef: int | None = None,
    rescore: bool | None = None,
    oversampling: float | None = None,
    with_payload: bool | Iterable[str] = True,
    with_text: bool = True,
    with_vectors: bool = False,
    timeout: float | None = None,
    consistency: Consistency | None = None,
) -> Wanted:
    """The options of a method as one value. Raises SettingsError."""
    find = FindOptions(
        limit=limit,
        offset=offset,
        score_threshold=score_threshold,
        exact=exact,
        hnsw_ef=hnsw_ef,
        rescore=rescore,
        oversampling=oversampling,
        payload=payload_fields(with_payload),
        vectors=with_vectors,
        read=ReadOptions(timeout=timeout, consistency=consistency),
    )
    both = None if weights is None else tuple(weights)
    return Wanted(
        find=find,
        where=where,
        mode=mode,
        fusion=fusion,
        weights=both,  # type: ignore[arg-type]  # its length is checked there
        depth=depth,
        diversity=diversity,
        text=with_text,
    )


def at(asked: Wanted, *, limit: int, offset: int) -> Wanted:
    """The same, of another part of the list."""
    return replace(asked, find=replace(asked.find, limit=limit, offset=offset))


def payload_fields(chosen: bool | Iterable[str]) -> bool | tuple[str, ...]:
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
    """Raises SettingsError for what is no string, InvalidInputError for an empty one."""
    if not isinstance(query, str):
        raise SettingsError(f"the query must be a string, got {type(query).__name__}; use search_batch for several")
    if not query.strip():
        raise InvalidInputError("the query is empty; write what to search for")
    return query


def checked_queries(queries: Iterable[str]) -> list[str]:
    """The queries as a list, read once. Raises SettingsError for what is none of strings, InvalidInputError."""
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


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _check_share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SettingsError(f"{name} is a number from 0 to 1, got {value!r}")
