"""The options of a search on the command line, and the searches that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tasb_qdrant.cli.options import bundled

if TYPE_CHECKING:
    from tasb_qdrant.records import HitGroup
    from tasb_qdrant.search import Hits, Searcher
    from tasb_qdrant.search.options import Consistency, Fusion, Mode

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Find:
    """What to find beside queries: the options of `Searcher.search` by their names there, but for `deadline`."""

    where: str | None
    limit: int
    offset: int
    mode: Mode
    fusion: Fusion
    weights: tuple[float, float] | None
    depth: int | None
    diversity: float | None
    score_threshold: float | None
    exact: bool
    hnsw_ef: int | None
    rescore: bool | None
    oversampling: float | None
    fields: tuple[str, ...]
    with_vectors: bool
    deadline: float | None
    consistency: str | None

    def batch(self, searcher: Searcher, queries: Sequence[str], *, ids_alone: bool = False) -> list[Hits]:
        """The hits of each query; with `ids_alone` they have no text, title or payload."""
        return searcher.search_batch(
            queries,
            limit=self.limit,
            offset=self.offset,
            where=self.where,
            mode=self.mode,
            fusion=self.fusion,
            weights=self.weights,
            depth=self.depth,
            diversity=self.diversity,
            score_threshold=self.score_threshold,
            exact=self.exact,
            hnsw_ef=self.hnsw_ef,
            rescore=self.rescore,
            oversampling=self.oversampling,
            with_payload=False if ids_alone else self._payload,
            with_text=not ids_alone,
            with_vectors=self.with_vectors and not ids_alone,
            timeout=self.deadline,
            consistency=self._replicas,
        )

    def groups(self, searcher: Searcher, query: str, *, by: str, size: int) -> list[HitGroup]:
        """The best hits of each value of a field."""
        if self.offset or self.diversity is not None:
            raise click.UsageError("--group-by goes without --offset and --diversity; leave these out")
        return searcher.search_groups(
            query,
            by=by,
            group_size=size,
            limit=self.limit,
            where=self.where,
            mode=self.mode,
            fusion=self.fusion,
            weights=self.weights,
            depth=self.depth,
            score_threshold=self.score_threshold,
            exact=self.exact,
            hnsw_ef=self.hnsw_ef,
            rescore=self.rescore,
            oversampling=self.oversampling,
            with_payload=self._payload,
            with_vectors=self.with_vectors,
            timeout=self.deadline,
            consistency=self._replicas,
        )

    def like(self, searcher: Searcher, positive: Sequence[str], negative: Sequence[str]) -> Hits:
        """Passages like some and unlike others."""
        if self.mode != "dense" or self.diversity is not None:
            raise click.UsageError("--like goes without --mode and --diversity; leave these out")
        return searcher.recommend(
            positive,
            negative,
            limit=self.limit,
            offset=self.offset,
            where=self.where,
            score_threshold=self.score_threshold,
            exact=self.exact,
            hnsw_ef=self.hnsw_ef,
            rescore=self.rescore,
            oversampling=self.oversampling,
            with_payload=self._payload,
            with_vectors=self.with_vectors,
            timeout=self.deadline,
            consistency=self._replicas,
        )

    @property
    def _payload(self) -> bool | tuple[str, ...]:
        return self.fields or True

    @property
    def _replicas(self) -> Consistency | None:
        if self.consistency is None or not self.consistency.isdigit():
            return self.consistency  # type: ignore[return-value]  # checked by Searcher
        return int(self.consistency)


def find_options(command: F) -> F:
    """Everything that `Searcher.search` takes, as one `find: Find`."""
    return bundled(
        command,
        "find",
        Find,
        [
            click.option("--filter", "where", metavar="EXPR", help='Such as: year >= 2020 and lang in ["en", "de"]'),
            click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many hits."),
            click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out the first so many."),
            click.option(
                "--mode",
                type=click.Choice(["dense", "bm25", "hybrid"]),
                default="dense",
                show_default=True,
                help="By vectors, by words, or both; the last two need a collection ingested with --bm25.",
            ),
            click.option(
                "--fusion",
                type=click.Choice(["rrf", "dbsf"]),
                default="rrf",
                show_default=True,
                help="How hybrid joins its two lists: by ranks, or by normalised scores.",
            ),
            click.option(
                "--weights", type=(float, float), metavar="DENSE BM25", help="How much each list counts, with rrf."
            ),
            click.option(
                "--depth",
                type=click.IntRange(min=1),
                help="Candidates of each list, or that --diversity chooses from. [default: 5 a hit, at least 100]",
            ),
            click.option(
                "--diversity", type=click.FloatRange(0, 1), help="Prefer hits unlike each other: 0 not at all, 1 alone."
            ),
            click.option("--score-threshold", type=float, help="Leave out hits with a lower score."),
            click.option("--exact", is_flag=True, help="Compare with every vector instead of using the index."),
            click.option("--hnsw-ef", type=click.IntRange(min=1), help="How thoroughly the index is searched."),
            click.option(
                "--rescore/--no-rescore", default=None, help="Whether whole vectors rank quantized hits anew."
            ),
            click.option("--oversampling", type=click.FloatRange(min=1), help="Quantized candidates for each hit."),
            click.option("--field", "fields", multiple=True, help="Only this payload field. Repeatable."),
            click.option("--with-vectors", is_flag=True, help="With --json: the hits' vectors, too."),
            click.option(
                "--deadline",
                type=click.FloatRange(min=0, min_open=True),
                help="Seconds that all of a search may take, retries included.",
            ),
            click.option(
                "--consistency", metavar="N|majority|quorum|all", help="How many replicas of a cluster must agree."
            ),
        ],
    )
