"""`tasb-qdrant search`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tasb_qdrant.cli.find import Find, find_options
from tasb_qdrant.cli.options import collection_option, encoder_options, grouped, reading_store_options
from tasb_qdrant.cli.output import Output, output_options

if TYPE_CHECKING:
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.search import Searcher
    from tasb_qdrant.settings import ReadingStoreOptions


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask, in one of several ways."""

    query: str | None
    like: tuple[str, ...]
    unlike: tuple[str, ...]
    queries: Any
    interactive: bool
    group_by: str | None
    group_size: int

    def check(self) -> None:
        """Raises UsageError unless it is one way, with what goes with it."""
        ways = {
            "QUERY": self.query is not None,
            "--like": bool(self.like),
            "--queries": self.queries is not None,
            "--interactive": self.interactive,
        }
        given = [way for way, is_given in ways.items() if is_given]
        if len(given) != 1:
            raise click.UsageError(f"give one of {', '.join(ways)}; got {' and '.join(given) or 'none'}")
        if self.unlike and not self.like:
            raise click.UsageError("--unlike goes with --like")
        if self.group_by and self.query is None:
            raise click.UsageError("--group-by needs a QUERY")


question_options = grouped(
    "question",
    Question,
    click.argument("query", required=False),
    click.option("--group-by", metavar="FIELD", help="Group hits by this payload field: the best of each value."),
    click.option("--group-size", type=click.IntRange(min=1), default=3, show_default=True, help="Hits in each group."),
    click.option(
        "--like", multiple=True, metavar="ID", help="Instead of a query: find passages like this one. Repeatable."
    ),
    click.option("--unlike", multiple=True, metavar="ID", help="With --like: unlike this one. Repeatable."),
    click.option(
        "--queries",
        type=click.File("r", encoding="utf-8"),
        help="File with a query per line: alone, after an id and a tab, or as JSON; - for standard input.",
    ),
    click.option("--interactive", is_flag=True, help="Prompt for queries, one after another."),
)


@click.command("search")
@collection_option
@find_options
@question_options
@output_options
@reading_store_options
@encoder_options(model=None)
def search_command(
    *,
    collection: str,
    find: Find,
    question: Question,
    output: Output,
    store: ReadingStoreOptions,
    encoder: EncoderOptions,
) -> int:
    """Find the passages nearest to QUERY.

    The encoder is the one that made the collection. Filters are explained in docs/filters.md.

    \b
    Examples:
      tasb-qdrant search "how do bees find food" --collection docs
      tasb-qdrant search "solar power" --collection docs --filter 'year >= 2020 and not lang = "de"' --limit 3
      tasb-qdrant search "tea" --collection docs --json
      tasb-qdrant search --queries queries.tsv --collection docs --limit 1000 --format trec > run.txt
      tasb-qdrant search --like bees-waggle-dance --collection docs
      tasb-qdrant search --interactive --collection docs
    """
    from tasb_qdrant.cli.asking import ask_file, ask_groups, ask_like, ask_once, ask_people
    from tasb_qdrant.cli.main import DONE
    from tasb_qdrant.filters import parse_filter

    question.check()
    if find.where is not None:
        parse_filter(find.where)  # a mistake in it should show before the encoder is loaded, which takes seconds
    with _opened(collection, store, encoder) as searcher:
        if question.interactive:
            ask_people(searcher, find, output)
        elif question.queries is not None:
            ask_file(searcher, find, question.queries, output)
        elif question.query is None:
            ask_like(searcher, find, question.like, question.unlike, output)
        elif question.group_by:
            ask_groups(searcher, find, question.query, output, by=question.group_by, size=question.group_size)
        else:
            ask_once(searcher, find, question.query, output)
    return DONE


@contextmanager
def _opened(collection: str, store: ReadingStoreOptions, encoder: EncoderOptions) -> Iterator[Searcher]:
    """The searcher; warnings about filters go to standard error, a line each."""
    from tasb_qdrant.cli.render import note, warn
    from tasb_qdrant.search import Searcher
    from tasb_qdrant.search.where import FilterWarning

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        warn(str(message))

    with warnings.catch_warnings(), Searcher(collection, **store, **encoder) as searcher:
        warnings.simplefilter("always", FilterWarning)
        warnings.showwarning = show
        for sentence in searcher.notes:
            note(sentence)
        yield searcher
