"""From turns to figures: those of each round, and ratios between two contestants, round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median, quantiles

from benchmarks.running.tables import Spread, spread
from benchmarks.searching.contestants import CEILING, EMBEDDED, LOCAL, OURS
from benchmarks.searching.results import BATCH, SINGLE, Entry, Parts, Result, Turn

Figure = Callable[[Turn], float]


def p50(turn: Turn) -> float:
    """Milliseconds."""
    return median(turn.milliseconds)


def p95(turn: Turn) -> float:
    """Milliseconds."""
    return quantiles(turn.milliseconds, n=20)[-1] if len(turn.milliseconds) > 1 else turn.milliseconds[0]


def rate(turn: Turn) -> float:
    """Queries per second."""
    return turn.queries / turn.seconds


def overhead(parts: Parts) -> float:
    """Median milliseconds that a search takes beyond its encoding and a bare request, query by query."""
    return median(
        whole - encode - query for whole, encode, query in zip(parts.search, parts.encode, parts.query, strict=True)
    )


def turns_of(entry: Entry | None, task: str, ef: int = 0) -> list[Turn]:
    return [turn for turn in entry.turns if (turn.task, turn.ef) == (task, ef)] if entry else []


def over(above: Iterable[Turn], below: Iterable[Turn], figure: Figure) -> Spread | None:
    """Ratios of the figure, round by round, so that whatever else the machine does in a round affects both sides."""
    figures = {turn.round: figure(turn) for turn in below}
    return spread([figure(turn) / figures[turn.round] for turn in above if figures.get(turn.round)])


def entry_of(result: Result, name: str) -> Entry | None:
    return next((entry for entry in result.entries if entry.name == name), None)


def peers(result: Result, *, plain: bool = False) -> list[Entry]:
    """Who is compared with us on the server: those used as their documentation first shows, or all."""
    others = (OURS, CEILING, EMBEDDED, LOCAL)
    return [entry for entry in result.entries if entry.name not in others and (entry.plain or not plain)]


def quickest(entries: Iterable[Entry], task: str = SINGLE) -> Entry | None:
    """The peer with the lowest median among those that took a turn."""
    measured = [entry for entry in entries if turns_of(entry, task)]
    return min(measured, key=lambda entry: median(p50(turn) for turn in turns_of(entry, task)), default=None)


def loop_against_batch(result: Result, *, plain: bool) -> tuple[Entry, Spread] | None:
    """How many times as fast our batch is as the fastest peer's loop, round by round."""
    best, ours = quickest(peers(result, plain=plain)), turns_of(entry_of(result, OURS), BATCH)
    loops = {turn.round: rate(turn) for turn in turns_of(best, SINGLE)}
    found = spread([rate(turn) / loops[turn.round] for turn in ours if turn.round in loops])
    return (best, found) if best and found else None
