"""Results for people: tables and coloured lines on a terminal, plain ones elsewhere; and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tasb_qdrant.cli.highlight import excerpt, spans_in
from tasb_qdrant.cli.logs import is_quiet
from tasb_qdrant.cli.said import as_bytes, said
from tasb_qdrant.cli.screen import say, say_json, say_of, stdout
from tasb_qdrant.doctor import Check
from tasb_qdrant.printable import STEERING
from tasb_qdrant.records import Hit, HitGroup, IngestReport


def print_json_line(result: Mapping[str, Any]) -> None:
    """The result as one JSON document on one line, as `print_json` does."""
    say_json(as_bytes(said().document(result), line=True))


def print_json(result: Mapping[str, Any]) -> None:
    """The result as one JSON document on stdout, with the version, and the warnings and notes said so far."""
    say_json(as_bytes(said().document(result), line=False))


def warn(message: str) -> None:
    """One line on stderr; JSON that is printed after it has it, too."""
    said().warnings.append(message)
    say_of("Warning", "yellow", message)


def note(message: str) -> None:
    """One line on stderr: what was chosen on the user's behalf; JSON that is printed after it has it, too."""
    said().notes.append(message)
    if is_quiet():
        return
    say(message, err=True, dim=True)


def print_hits(hits: Sequence[Hit], *, words: frozenset[str] = frozenset()) -> None:
    """Rank, score, title, id, text and payload of each hit; `words`, case folded, are marked in title and text."""
    console = stdout()
    if not hits:
        console.print("No hits.")
    for rank, hit in enumerate(hits, 1):
        _print_hit(console, rank, hit, words)


def print_groups(field: str, groups: Sequence[HitGroup], *, words: frozenset[str]) -> None:
    """The hits of each group under its value."""
    console = stdout()
    if not groups:
        console.print("No hits.")
    for group in groups:
        console.print(Text(clean(f"{field} = {group.value}"), style="bold"))
        for rank, hit in enumerate(group.hits, 1):
            _print_hit(console, rank, hit, words)


def _print_hit(console: Console, rank: int, hit: Hit, words: frozenset[str]) -> None:
    head = Text.assemble(
        (f"{rank:>2}. ", "bold"),
        (f"{hit.score:.3f}  ", "cyan"),
        _marked(clean(hit.title or ""), words, style="bold"),
        ("  " if hit.title else "", ""),
        (f"[{clean(hit.id)}]", "dim"),
    )
    console.print(head)
    _print_indented(console, _marked(excerpt(clean(hit.text), words, limit=400), words))
    if hit.payload:
        # A server's answers have them in another order over gRPC than over REST.
        fields = "  ".join(f"{name}={_value(value)}" for name, value in sorted(hit.payload.items()))
        _print_indented(console, Text(_shortened(fields, 200), style="dim"))


def _marked(text: str, words: frozenset[str], *, style: str = "") -> Text:
    marked = Text(text, style=style)
    for start, end in spans_in(text, words):
        marked.stylize("bold yellow", start, end)
    return marked


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table: framed on a terminal, tab-separated elsewhere, so that other programs can read it."""
    console = stdout()
    if not console.is_terminal:
        for row in (columns, *rows) if any(columns) else rows:
            say("\t".join(clean(str(cell)) for cell in row))
        return
    table = Table(*columns, header_style="bold", box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*(escape(clean(str(cell))) for cell in row))
    console.print(table)


def print_report(report: IngestReport) -> None:
    """The counts of a run, and what to make of them."""
    console = stdout()
    console.print(
        Text.assemble(
            ("Stored ", "bold"),
            (f"{report.stored:,} passage{'' if report.stored == 1 else 's'}", "bold green"),
            "" if report.documents is None else f" of {report.documents:,} documents",
            f" ({report.new:,} new, {report.replaced:,} replaced)" if report.replaced else "",
            f" in collection {report.collection!r} at {report.location}, which now holds {report.points:,}.",
        )
    )
    ran_on = f" on {report.device} in {report.precision}" if report.device else ""
    console.print(
        f"Read {report.read:,}: stored {report.stored:,}, updated {report.updated:,}, skipped {report.skipped:,}, "
        f"rejected {report.rejected:,}. Truncated {report.truncated:,}. "
        f"{report.seconds:.1f} s, {report.passages_per_second:,.0f} passages/s, "
        f"{report.tokens_per_second:,.0f} tokens/s{ran_on}."
    )
    if report.deleted:
        points = "point" if report.deleted == 1 else "points"
        console.print(f"Deleted {report.deleted:,} {points} that the source doesn't have.")
    if report.proposed_indexes:
        options = " ".join(f"--index {field}:{kind}" for field, kind in report.proposed_indexes.items())
        console.print(Text(f"To filter fast on payload fields, run the same again with: {options}"))


def warn_of(report: IngestReport) -> None:
    """What of the run is not as it should be."""
    for warning in (*report.refused_indexes.values(), *report.warnings):
        warn(warning)


def print_checks(checks: Sequence[Check]) -> None:
    """A line per check, and under it what to do."""
    console = stdout()
    styles = {"ok": "green", "warning": "yellow", "failed": "bold red"}
    for check in checks:
        console.print(
            Text.assemble((f"{check.status:<8}", styles[check.status]), (check.name, "bold"), f": {check.found}")
        )
        if check.advice:
            _print_indented(console, Text(check.advice, style="dim"))


def clean(text: str) -> str:
    """One line without control characters: a passage must not be able to control the terminal."""
    return " ".join(STEERING.sub(" ", text).split())


def _shortened(text: str, limit: int = 400) -> str:
    text = clean(text)
    return text if len(text) <= limit else f"{text[:limit].rstrip()}…"


def _print_indented(console: Console, content: Text) -> None:
    console.print(Padding(content, (0, 0, 0, 4)) if console.is_terminal else Text("    ") + content)


def _value(value: object) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
