"""The project's own targets against what a run measured, whether reached or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.encoding import summary
from benchmarks.encoding.contestants import BASE, OURS
from benchmarks.encoding.results import Competition, Entry, Result, Turn
from benchmarks.running.tables import Spread, spread


@dataclass(frozen=True, slots=True)
class Target:
    work: str
    wanted: str
    found: str
    verdict: str


def targets_of(result: Result) -> list[Target]:
    """Only targets that the run measured; those for AMX only on a CPU with AMX."""
    found: list[Target] = []
    ours = summary.entry_of(result.main, OURS)
    if ours and result.device == "cuda":
        found += _of_gpu(result.main, ours)
    elif ours:
        found += _of_main(result.main, ours, amx=result.machine.amx)
    plain = result.without_amx if result.machine.amx else (result.main if result.device == "cpu" else None)
    own = (summary.entry_of(plain, "ours-fp32") or summary.entry_of(plain, OURS)) if plain else None
    if plain and own:
        rival = summary.best_peer(plain, precisions=("fp32",))
        found += _ratio("bulk without AMX, fp32", "the best fp32 peer", 1.2, own, rival, summary.bulk_cost)
    if result.tokenizing:
        pairs = zip(result.tokenizing.warm_s, result.tokenizing.batch_fast_s, strict=True)
        ratios = spread([theirs / own for own, theirs in pairs])
        found += _judged("tokenising, words known", "≥ 5 x `encode_batch_fast`, ids equal", 5.0, ratios)
    return found


def _of_main(main: Competition, ours: Entry, *, amx: bool) -> list[Target]:
    base = summary.entry_of(main, BASE)
    found = []
    if amx:
        found += _ratio("bulk", "sentence-transformers fp32", 8.0, ours, base, summary.bulk_cost)
    rival = summary.best_peer(main)
    found += _ratio("bulk", "the best float peer", 1.25 if amx else 1.2, ours, rival, summary.bulk_cost)
    if amx and (share := summary.of_peak(ours, main, "bf16")):
        verdict = "reached" if share.median >= 0.7 else "not reached"
        spread = f"{share.median:.0%} ({share.lowest:.0%} to {share.highest:.0%})"
        found.append(Target("bulk", "≥ 70% of the bf16 GEMM peak", spread, verdict))
    if amx:
        found += _ratio("single query, p50", "sentence-transformers fp32", 3.0, ours, base, summary.query_cost)
    rival = summary.best_peer(main, summary.query_cost)
    return [*found, *_ratio("single query, p50", "the best float peer", 1.0, ours, rival, summary.query_cost)]


def _of_gpu(main: Competition, ours: Entry) -> list[Target]:
    """The first and the last are for a card like the H200."""
    rates = spread([turn.passages / turn.bulk_s for turn in ours.turns])
    found = _judged("bulk", "≥ 85,000 passages/s", 85_000.0, rates, ",.0f")
    share = summary.of_peak(ours, main, "bf16")
    found += _judged("bulk", "≥ 60% of the bf16 GEMM peak", 0.6, share, ".1%")
    found += _ratio("bulk", "the best float peer", 4.0, ours, summary.best_peer(main), summary.bulk_cost)
    p50 = summary.quantile(ours, 0.5)
    verdict = "reached" if p50 <= 0.35 else "not reached"
    return [*found, Target("single query, p50", "≤ 0.35 ms", f"{p50:.2f} ms", verdict)]


def _ratio(
    work: str, whom: str, wanted: float, ours: Entry, other: Entry | None, cost: Callable[[Turn], float]
) -> list[Target]:
    if other is None:
        return []
    spread = summary.times_as_fast(ours, other, cost)
    name = f" ({other.title})" if whom.startswith("the best") else ""
    return _judged(work, f"≥ {wanted:g} x {whom}{name}", wanted, spread)


def _judged(work: str, text: str, wanted: float, found: Spread | None, form: str = ".2f") -> list[Target]:
    if found is None:
        return []
    shown = f"{found.median:{form}} ({found.lowest:{form}} to {found.highest:{form}})"
    return [Target(work, text, shown, "reached" if found.median >= wanted else "not reached")]
