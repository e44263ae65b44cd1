"""Asks the queries of `tasb-qdrant search`, and prints the answers: one query, a file of them, or a prompt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from tasb_qdrant.cli.failures import answer, show
from tasb_qdrant.cli.find import Find
from tasb_qdrant.cli.highlight import words_of
from tasb_qdrant.cli.output import Output
from tasb_qdrant.cli.render import clean, note, print_groups, print_hits, print_json, print_json_line
from tasb_qdrant.cli.said import said
from tasb_qdrant.cli.screen import say, say_of
from tasb_qdrant.collection.reads.grouping import values_of
from tasb_qdrant.errors import SettingsError, TasbQdrantError
from tasb_qdrant.evaluation.queries import Query, read_queries
from tasb_qdrant.evaluation.trec_run import trec_lines
from tasb_qdrant.records import Hit
from tasb_qdrant.records.path import parse_path

if TYPE_CHECKING:
    from tasb_qdrant.search import Hits, Searcher

_TOGETHER: Final = 256
"""Queries encoded and sent together: the first hits show early, and the encoder is busy."""

_EVERY: Final = 10.0
"""Seconds between lines that say how far a file of queries is."""

_HELP: Final = """\
A line is a query. A line that begins with a colon changes how to search from then on:
  :filter EXPR    only passages that match; :filter alone removes the filter
  :limit N        how many hits
  :mode MODE      dense, bm25 or hybrid
  :quit           or Ctrl-D"""


def ask_once(searcher: Searcher, find: Find, query: str, output: Output) -> None:
    """One query."""
    [hits] = find.batch(searcher, [query], ids_alone=output.form == "trec")
    if output.form == "json":
        print_json({"query": query, "hits": [hit.to_dict() for hit in hits]})
    else:
        _print(Query("1", query), hits, output, headed=False, best_per=find.best_per)


def ask_like(searcher: Searcher, find: Find, like: Sequence[str], unlike: Sequence[str], output: Output) -> None:
    """Passages like others."""
    _check_form(output, "--like")
    hits = find.like(searcher, like, unlike)
    if output.is_json:
        _document(output, {"like": list(like), "unlike": list(unlike), "hits": [hit.to_dict() for hit in hits]})
    else:
        print_hits(hits)


def ask_groups(searcher: Searcher, find: Find, query: str, output: Output, *, by: str, size: int) -> None:
    """The best hits of each value of a field."""
    _check_form(output, "--group-by")
    groups = find.groups(searcher, query, by=by, size=size)
    if output.is_json:
        found = [{"value": group.value, "hits": [hit.to_dict() for hit in group.hits]} for group in groups]
        _document(output, {"query": query, "by": by, "groups": found})
    else:
        print_groups(by, groups, words=_marked(query, output))


def _check_form(output: Output, option: str) -> None:
    """Raises UsageError for a run for trec_eval, which has queries and their hits alone."""
    if output.form == "trec":
        raise click.UsageError(f"{option} prints text or JSON; leave out --format trec")


def _document(output: Output, result: dict[str, Any]) -> None:
    (print_json_line if output.form == "jsonl" else print_json)(result)


def ask_file(searcher: Searcher, find: Find, lines: Any, output: Output) -> None:
    """Every query of a file, in its order; with json they are one list."""
    every: list[dict[str, Any]] = []
    queries = read_queries(_decoded(lines), source=getattr(lines, "name", None) or "<stdin>")
    for query, hits in _answered(searcher, find, queries, ids_alone=output.form == "trec"):
        if output.form == "json":
            every.append(_as_json(query, hits))
        else:
            _print(query, hits, output, headed=True, best_per=find.best_per)
    if output.form == "json":
        print_json({"queries": every})


def _answered(
    searcher: Searcher, find: Find, queries: Iterator[Query], *, ids_alone: bool
) -> Iterator[tuple[Query, Hits]]:
    done, began, told = 0, time.monotonic(), time.monotonic()
    while part := list(islice(queries, _TOGETHER)):
        answers = find.batch(searcher, [query.text for query in part], ids_alone=ids_alone)
        yield from zip(part, answers, strict=True)
        done += len(part)
        if (now := time.monotonic()) - told >= _EVERY:
            told = now
            note(f"Searched {done:,} queries, {done / (now - began):,.0f} a second.")


def _print(query: Query, hits: Hits, output: Output, *, headed: bool, best_per: str | None = None) -> None:
    if output.form == "trec":
        for line in trec_lines(query.id, _documents(hits, best_per), name=output.run_name):
            say(line)
    elif output.form == "jsonl":
        print_json_line(_as_json(query, hits))
    else:
        if headed:
            say(f"{clean(query.id)}  {clean(query.text)}", bold=True)
        print_hits(hits, words=_marked(query.text, output))


def _documents(hits: Hits, best_per: str | None) -> Sequence[Hit]:
    """The hits under the ids of what they stand for: judgements are of documents, not of their passages."""
    if best_per is None:
        return hits
    path = parse_path(best_per)
    return [replace(hit, id=str(next(values_of(hit.payload, path), hit.id))) for hit in hits]


def _marked(query: str, output: Output) -> frozenset[str]:
    """The words to mark in the hits of a query."""
    return words_of(query) if output.highlight else frozenset()


def _as_json(query: Query, hits: Hits) -> dict[str, Any]:
    return {"id": query.id, "query": query.text, "hits": [hit.to_dict() for hit in hits]}


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise SettingsError(f"the queries are not UTF-8 text ({error.reason}); convert the file") from None


def ask_people(searcher: Searcher, find: Find, output: Output) -> None:
    """Answer queries from a prompt until its end, with JSON on a line each. An error is shown, and the next query
    asked for."""
    _check_form(output, "--interactive")
    number = 0
    read = _prompting()
    if sys.stdin.isatty():
        info = searcher.info()
        say(f"{info.points:,} passages in {info.name!r} at {info.location}. :help says more, Ctrl-D ends.", err=True)
    while (line := read()) is not None:
        try:
            if line.startswith(":"):
                find = _changed(find, line)
            elif line:
                began, number = time.perf_counter(), number + 1
                [hits] = find.batch(searcher, [line])
                if output.is_json:
                    print_json_line(_as_json(Query(str(number), line), hits))
                    continue
                print_hits(hits, words=_marked(line, output))
                note(f"{len(hits)} hits in {(time.perf_counter() - began) * 1000:.0f} ms.")
        except EOFError:
            return
        except TasbQdrantError as error:
            show(error, said())
        except click.UsageError as error:
            say_of("Error", "red", str(error))
            answer(said(), kind="usage", message=error.format_message())


def _prompting() -> Callable[[], str | None]:
    """A function that returns the next line, stripped, or None at the end; at a terminal with history and editing."""
    if not sys.stdin.isatty():
        lines = iter(sys.stdin)
        return lambda: None if (line := next(lines, None)) is None else line.strip()
    try:
        import readline  # noqa: F401  # its import gives input() history and editing
    except ImportError:
        note("no line editing here: this Python has no readline")

    def read() -> str | None:
        try:
            return input("> ").strip()
        except EOFError:
            say("", err=True)
            return None

    return read


def _changed(find: Find, line: str) -> Find:
    """The search, changed as a line with a colon says. Raises EOFError to end, SettingsError, FilterError."""
    from tasb_qdrant.filters import parse_filter

    command, _, value = line[1:].partition(" ")
    value = value.strip()
    match command:
        case "quit" | "q":
            raise EOFError
        case "filter":
            if value:
                parse_filter(value)
            return find.changed(where=value or None)
        case "limit" if value.isdigit() and int(value) > 0:
            return find.changed(limit=int(value))
        case "mode" if value in ("dense", "bm25", "hybrid"):
            return find.changed(mode=value)
        case "help" | "h":
            say(_HELP, err=True)
            return find
    raise SettingsError(f"{line!r} is not known here; :help lists what is")
