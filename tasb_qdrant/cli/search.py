"""`tasb-qdrant search`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tasb_qdrant.cli.find import Find, find_options
from tasb_qdrant.cli.options import (
    ModelOptions,
    StoreOptions,
    collection_option,
    json_option,
    model_options,
    store_options,
)

if TYPE_CHECKING:
    from tasb_qdrant.search import Searcher


@click.command("search")
@click.argument("query", required=False)
@collection_option
@find_options
@click.option("--group-by", metavar="FIELD", help="The best hits of each value of a payload field.")
@click.option("--group-size", type=click.IntRange(min=1), default=3, show_default=True, help="Hits in each group.")
@click.option("--like", "like", multiple=True, metavar="ID", help="Instead of a query: like this passage. Repeatable.")
@click.option("--unlike", "unlike", multiple=True, metavar="ID", help="With --like: unlike this one. Repeatable.")
@click.option(
    "--queries",
    type=click.File("r", encoding="utf-8"),
    help="A query a line, alone, after an id and a tab, or as JSON; - for standard input.",
)
@click.option("--interactive", is_flag=True, help="Ask for queries, one after the other.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "jsonl", "trec"]),
    default="text",
    show_default=True,
    help="jsonl: a line a query; trec: a run for trec_eval.",
)
@click.option("--run-name", default="tasb-qdrant", show_default=True, help="The last column of a TREC run.")
@click.option("--highlight/--no-highlight", default=True, show_default=True, help="Mark the query's words.")
@json_option
@store_options
@model_options(default=None)
def search_command(
    *,
    query: str | None,
    collection: str,
    find: Find,
    group_by: str | None,
    group_size: int,
    like: tuple[str, ...],
    unlike: tuple[str, ...],
    queries: Any,
    interactive: bool,
    form: str,
    run_name: str,
    highlight: bool,
    as_json: bool,
    store: StoreOptions,
    encoder: ModelOptions,
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

    form = "json" if as_json else form
    _check_one(query=query, like=like, unlike=unlike, queries=queries, interactive=interactive)
    if group_by and query is None:
        raise click.UsageError("--group-by needs a QUERY")
    if find.where is not None:
        parse_filter(find.where)  # a slip in it shows before the encoder is loaded, which takes seconds
    with _opened(collection, store, encoder) as searcher:
        marked = highlight and form == "text"
        if interactive:
            ask_people(searcher, find, highlight=marked)
        elif queries is not None:
            ask_file(searcher, find, queries, form=form, run_name=run_name, highlight=marked)
        elif like or query is None:
            ask_like(searcher, find, like, unlike, form=form)
        elif group_by:
            ask_groups(searcher, find, query, by=group_by, size=group_size, form=form, highlight=marked)
        else:
            ask_once(searcher, find, query, form=form, run_name=run_name, highlight=marked)
    return DONE


def _check_one(
    *, query: str | None, like: tuple[str, ...], unlike: tuple[str, ...], queries: Any, interactive: bool
) -> None:
    ways = {
        "QUERY": query is not None,
        "--like": bool(like),
        "--queries": queries is not None,
        "--interactive": interactive,
    }
    given = [way for way, chosen in ways.items() if chosen]
    if len(given) != 1:
        raise click.UsageError(f"give one of {', '.join(ways)}; got {' and '.join(given) or 'none'}")
    if unlike and not like:
        raise click.UsageError("--unlike goes with --like")


@contextmanager
def _opened(collection: str, store: StoreOptions, encoder: ModelOptions) -> Iterator[Searcher]:
    """The searcher; warnings about filters go to standard error, a line each."""
    from tasb_qdrant.cli.render import note, warn
    from tasb_qdrant.search import Searcher
    from tasb_qdrant.search.where import FilterWarning

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        warn(str(message))

    with (
        warnings.catch_warnings(),
        Searcher(
            collection,
            url=store.url,
            path=store.path,
            api_key=store.api_key,
            transport=store.transport,
            grpc_port=store.grpc_port,
            timeout=store.timeout,
            allow_plain_http_key=store.allow_plain_http_key,
            model=encoder.model,
            revision=encoder.revision,
            allow_pickle=encoder.allow_pickle,
            device=encoder.device,
            precision=encoder.precision,
        ) as searcher,
    ):
        warnings.simplefilter("always", FilterWarning)
        warnings.showwarning = show
        for sentence in searcher.notes:
            note(sentence)
        yield searcher
