"""The options of a search on the command line, and the searches that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tasb_qdrant.cli.complete import field_names
from tasb_qdrant.cli.logs import is_verbose
from tasb_qdrant.cli.options import filter_option, grouped
from tasb_qdrant.cli.screen import say

if TYPE_CHECKING:
    from tasb_qdrant.records.timings import Timings
    from tasb_qdrant.search import HitGroups, Hits, Searcher


@dataclass(frozen=True, slots=True)
class Find:
    """How to search, whatever the query: options of `Searcher.search`, under their names there."""

    options: Mapping[str, Any]
    timings: bool = False

    @classmethod
    def of(cls, *, fields: tuple[str, ...], deadline: float | None, timings: bool, **options: Any) -> Find:
        """As the command line names them: without fields, hits have all of their payload."""
        return cls({**options, "with_payload": fields or True, "timeout": deadline}, timings)

    @property
    def where(self) -> str | None:
        """The filter, as text."""
        where: str | None = self.options["where"]
        return where

    @property
    def best_per(self) -> str | None:
        """The field of which each value comes once."""
        best_per: str | None = self.options["best_per"]
        return best_per

    def changed(self, **options: object) -> Find:
        """The same with these options in place of its own."""
        return Find({**self.options, **options}, self.timings)

    def batch(self, searcher: Searcher, queries: Sequence[str], *, ids_alone: bool = False) -> list[Hits]:
        """The hits of each query; with `ids_alone` they have no text and title, and of the payload what --best-per
        names."""
        told = [self.best_per] if self.best_per else False
        fewer = {"with_payload": told, "with_text": False, "with_vectors": False} if ids_alone else {}
        answers = searcher.search_batch(queries, **{**self.options, **fewer})
        if answers:
            self._tell(answers[0].timings)
        return answers

    def groups(self, searcher: Searcher, query: str, *, by: str, size: int) -> HitGroups:
        """The best hits of each value of a field."""
        if self.options["offset"] or self.options["diversity"] is not None or self.best_per:
            raise click.UsageError("--group-by goes without --offset, --diversity and --best-per; leave these out")
        options = self._without("offset", "diversity", "best_per")
        groups = searcher.search_groups(query, by=by, group_size=size, **options)
        self._tell(groups.timings)
        return groups

    def like(self, searcher: Searcher, positive: Sequence[str], negative: Sequence[str]) -> Hits:
        """Passages like some and unlike others."""
        others = (self.options["diversity"], self.options["boost"], self.best_per)
        if self.options["mode"] != "dense" or any(other is not None for other in others):
            raise click.UsageError("--like goes without --mode, --boost, --diversity and --best-per; leave these out")
        options = self._without("mode", "fusion", "weights", "depth", "boost", "diversity", "best_per")
        hits = searcher.recommend(positive, negative, **options)
        self._tell(hits.timings)
        return hits

    def _tell(self, timings: Timings) -> None:
        """On standard error, where --timings or -v asks for it."""
        if self.timings or is_verbose():
            say(f"Took {1000 * timings.total:.1f} ms: {timings}.", err=True)

    def _without(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name not in names}


def _consistency(_: click.Context, __: click.Parameter, value: str | None) -> str | int | None:
    """A number of replicas as one; Searcher checks the rest."""
    return int(value) if value is not None and value.isdigit() else value


find_options = grouped(
    "find",
    Find.of,
    filter_option,
    click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many hits."),
    click.option("--offset", type=click.IntRange(min=0), default=0, help="Skip this many of the best hits."),
    click.option(
        "--mode",
        type=click.Choice(["dense", "bm25", "hybrid"]),
        default="dense",
        show_default=True,
        help="By vectors, by words, or both; words need --bm25 at the ingest, or an index of the texts that ranks.",
    ),
    click.option(
        "--fusion",
        type=click.Choice(["rrf", "dbsf"]),
        default="rrf",
        show_default=True,
        help="How hybrid fuses its two lists: by ranks, or by normalised scores.",
    ),
    click.option("--weights", type=(float, float), metavar="DENSE BM25", help="How much each list counts, with rrf."),
    click.option(
        "--depth",
        type=click.IntRange(min=1),
        help="Candidates in each list, or for --diversity to choose from. [default: 5 per hit, at least 100] Or for "
        "--boost to rank. [default: 500]",
    ),
    click.option(
        "--boost",
        metavar="FORMULA",
        help="Rank the best candidates anew, such as by 'score * exp_decay(published, scale=\"30 days\")'.",
    ),
    click.option(
        "--diversity",
        type=click.FloatRange(0, 1),
        help="Prefer hits that differ from each other: 0 not at all, 1 above all.",
    ),
    click.option(
        "--best-per",
        metavar="FIELD",
        help="Each value of this payload field once, by its best passage, such as doc_id after ingest --split.",
    ),
    click.option("--score-threshold", type=float, help="Leave out hits with a lower score."),
    click.option("--exact", is_flag=True, help="Compare with every vector instead of using the index."),
    click.option("--hnsw-ef", type=click.IntRange(min=1), help="How thoroughly the index is searched."),
    click.option(
        "--rescore/--no-rescore", default=None, help="Rescore quantized hits with the original vectors, or don't."
    ),
    click.option("--oversampling", type=click.FloatRange(min=1), help="Quantized candidates per hit."),
    click.option(
        "--field", "fields", multiple=True, shell_complete=field_names, help="Only this payload field. Repeatable."
    ),
    click.option("--with-vectors", is_flag=True, help="With --json: the hits' vectors, too."),
    click.option(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds that a whole search may take, encoding and retries included. [default: as --read-timeout has it]",
    ),
    click.option("--timings", is_flag=True, help="Say on standard error where the time went."),
    click.option(
        "--consistency",
        metavar="N|majority|quorum|all",
        callback=_consistency,
        help="How many replicas of a cluster must agree.",
    ),
)
"""Everything that `Searcher.search` takes, as `find: Find`."""
