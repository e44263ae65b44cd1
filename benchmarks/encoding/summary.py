"""The arithmetic from raw times to tables. Ratios are taken round by round, so that whatever else the machine does in
a round affects both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.encoding.model import FLOP_A_TOKEN
from benchmarks.encoding.results import Competition, Entry, Turn
from benchmarks.running.tables import Spread, spread

AGREES = 0.99
"""The lowest cosine at which vectors count as the same; those of bf16 are above 0.999."""


def times_as_fast(entry: Entry, other: Entry, cost: Callable[[Turn], float]) -> Spread | None:
    """How many times `other`'s cost is `entry`'s, over the rounds that both took part in; None if none."""
    costs = {turn.round: cost(turn) for turn in other.turns}
    return spread([costs[turn.round] / cost(turn) for turn in entry.turns if turn.round in costs])


def bulk_cost(turn: Turn) -> float:
    return turn.bulk_s / turn.passages


def query_cost(turn: Turn) -> float:
    return median(turn.query_ms)


def queries_cost(turn: Turn) -> float:
    return median(turn.queries_s)


def startup_cost(turn: Turn) -> float:
    return turn.startup_s


def passages_a_second(entry: Entry) -> float:
    return median(turn.passages / turn.bulk_s for turn in entry.turns)


def quantile(entry: Entry, share: float) -> float:
    """Milliseconds within which that share of all single queries was answered."""
    found = sorted(ms for turn in entry.turns for ms in turn.query_ms)
    return found[min(len(found) - 1, int(share * len(found)))]


def of_peak(entry: Entry, competition: Competition, precision: str) -> Spread | None:
    """The whole model's FLOP/s as a fraction of the GEMM peak measured in the same round."""
    shares = []
    for turn in entry.turns:
        peaks = [
            one.gemm[precision] for one in competition.ceilings if one.round == turn.round and precision in one.gemm
        ]
        if peaks:
            shares.append(turn.tokens * FLOP_A_TOKEN / turn.bulk_s / median(peaks))
    return spread(shares)


def peak(competition: Competition, precision: str) -> Spread | None:
    return spread([one.gemm[precision] for one in competition.ceilings if precision in one.gemm])


def comparable(entry: Entry) -> bool:
    """Whether its vectors agree with the others'. int8 always passes: its cosine is in the table."""
    return entry.precision == "int8" or (entry.cosine >= AGREES and abs(entry.length - 1) <= 0.05)


def entry_of(competition: Competition, name: str) -> Entry | None:
    """The entry of that name, if it finished a turn."""
    return next((entry for entry in competition.entries if entry.name == name and entry.turns), None)


def best_peer(
    competition: Competition, cost: Callable[[Turn], float] = bulk_cost, *, precisions: Sequence[str] = ()
) -> Entry | None:
    """The fastest float contestant that isn't ours and whose vectors agree."""
    rivals = [
        entry
        for entry in competition.entries
        if not entry.ours
        and entry.turns
        and entry.precision != "int8"
        and comparable(entry)
        and (not precisions or entry.precision in precisions)
    ]
    return min(rivals, key=lambda entry: median(cost(turn) for turn in entry.turns), default=None)
