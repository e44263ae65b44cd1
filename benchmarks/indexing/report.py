"""A result as Markdown: the part between the markers of docs/performance.md."""

from __future__ import annotations

from itertools import groupby

from benchmarks.indexing.results import Result, Turn
from benchmarks.indexing.strategies import END, EVERYONE
from benchmarks.running.tables import table

_TITLES = {one.name: one.title for one in EVERYONE}


def render(result: Result) -> str:
    return "\n\n".join([heading(result), turns(result)])


def heading(result: Result) -> str:
    machine = result.machine
    return (
        f"Measured {result.date}, commit `{result.commit}`, in {result.minutes:.0f} minutes, on {machine.name}, "
        f"{machine.threads} threads, {machine.memory_gib:.0f} GiB; Qdrant {result.server} on the same machine, fed "
        "with finished requests."
    )


def turns(result: Result) -> str:
    """A row each. "Of the slower part" is the time until all is indexed over the slower of loading and indexing, each
    as the first strategy does it, one after the other; CPU is compared with that strategy's, too."""
    rows = []
    for (points, dim, pace), group in groupby(result.turns, key=lambda turn: (turn.points, turn.dim, turn.pace)):
        some = list(group)
        base = next((turn for turn in some if turn.strategy == END), None)
        coming = f"{pace:,.0f} a second" if pace else "as fast as the server takes them"
        told = f"{points:,} of {dim} numbers, {coming}"
        rows += [[told if number == 0 else "", *_row(turn, base)] for number, turn in enumerate(some)]
    header = ["points, and how they come", "index", "loaded, s", "searchable, s", "of the slower part"]
    header += ["server CPU, s", "of that at the end", "memory, MiB", "disk at most, MiB", "disk, MiB", "segments"]
    return table(header, rows)


def _row(turn: Turn, base: Turn | None) -> list[str]:
    return [
        _TITLES.get(turn.strategy, turn.strategy),
        f"{turn.load_s:.0f}",
        f"{turn.end_s:.0f}",
        "-" if base is None else f"{turn.end_s / slower_part(base):.2f}",
        f"{turn.load_cpu_s:.0f} + {turn.end_cpu_s:.0f}",
        "-" if base is None else f"{cpu(turn) / cpu(base):.2f}",
        f"{turn.memory_mib:,.0f}",
        f"{turn.disk_mib:,.0f}",
        f"{turn.kept_mib:,.0f}",
        str(turn.segments),
    ]


def cpu(turn: Turn) -> float:
    """Seconds of the server's, in both parts."""
    return turn.load_cpu_s + turn.end_cpu_s


def slower_part(turn: Turn) -> float:
    """Seconds of loading or of what follows it, whichever takes longer."""
    return max(turn.load_s, turn.end_s - turn.load_s)
