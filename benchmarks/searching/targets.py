"""The targets for searching, what was measured, and whether they are reached."""

from __future__ import annotations

from math import inf
from typing import Final

from benchmarks.running.tables import Spread, spread
from benchmarks.searching.contestants import EMBEDDED, LOCAL, OURS
from benchmarks.searching.ratios import (
    entry_of,
    loop_against_batch,
    over,
    overhead,
    p50,
    peers,
    quickest,
    rate,
    turns_of,
)
from benchmarks.searching.results import FILTERED, GIVEN, GIVEN_FILTERED, ONE, SINGLE, TOGETHER, Entry, Result

OVERHEAD_MS: Final = 0.5
OF_BEST_PEER: Final = 0.5
RECALL: Final = 0.98
OF_LOCAL: Final = 20.0
OF_LOOP: Final = 3.0
OF_ONE: Final = 5.0

Row = list[str]


def target_rows(result: Result) -> list[Row]:
    """One row each: the task, the target, what was measured, the verdict. Those without a measurement are left out."""
    ours = entry_of(result, OURS)
    rows = [*_overheads(ours), *_latencies(result), *_recalls(ours), *_embedded(result), *_many(result)]
    shared = over(turns_of(ours, TOGETHER), turns_of(ours, ONE), rate)
    rows += _judged(f"{result.at_once} at once", f"≥ {OF_ONE:g} x one at a time", shared, least=OF_ONE)
    return rows


def _overheads(ours: Entry | None) -> list[Row]:
    rows = []
    for task, said in ((SINGLE, "one query"), (FILTERED, "one query, filtered")):
        found = spread([overhead(parts) for parts in (ours.parts if ours else ()) if parts.task == task])
        wanted = f"≤ {OVERHEAD_MS} ms beyond encoding and a bare request"
        rows += _judged(f"{said}, p50", wanted, found, most=OVERHEAD_MS)
    return rows


def _latencies(result: Result) -> list[Row]:
    """Against the best peer used as its documentation first shows and, if that is another one, the best of all."""
    rows = []
    for task, said in ((SINGLE, "one query"), (FILTERED, "one query, filtered")):
        quick = [quickest(peers(result, plain=plain), task) for plain in (True, False)]
        for best in {entry.name: entry for entry in quick if entry}.values():
            ours = entry_of(result, OURS)
            ratio = over(turns_of(ours, task), turns_of(best, task), p50)
            wanted = f"≤ {OF_BEST_PEER:g} x the best peer ({best.title})"
            found = _judged(f"{said}, p50", wanted, ratio, most=OF_BEST_PEER)
            rows += [[*row[:2], row[2] + _found_by(ours, best, task), *row[3:]] for row in found]
    return rows


def _recalls(ours: Entry | None) -> list[Row]:
    rows = []
    for task, said in ((SINGLE, "recall@10"), (FILTERED, "recall@10, filtered")):
        found = ours.recall(task) if ours else None
        if found is not None:
            rows.append([said, f"≥ {RECALL}", f"{found:.4f}", _verdict(found >= RECALL)])
    return rows


def _embedded(result: Result) -> list[Row]:
    """With the lowest `hnsw_ef` that finds as much as local mode; a lower recall doesn't count, however fast."""
    embedded, local = entry_of(result, EMBEDDED), entry_of(result, LOCAL)
    rows = []
    for task, said in ((GIVEN, "embedded"), (GIVEN_FILTERED, "embedded, filtered")):
        ef = max((turn.ef for turn in embedded.turns if turn.task == task), default=0) if embedded else 0
        ratio = over(turns_of(local, task), turns_of(embedded, task, ef), p50)
        found, wanted = (entry.recall(task, at) if entry else None for entry, at in ((embedded, ef), (local, 0)))
        if ratio is None or found is None or wanted is None:
            continue
        recalls = _found_by(embedded, local, task, ef) + (f", `hnsw_ef` {ef}" if ef else "")
        reached = ratio.median >= OF_LOCAL and found >= wanted
        target = f"≥ {OF_LOCAL:g} x local mode at its recall or better"
        rows.append([said, target, _shown(ratio) + recalls, _verdict(reached)])
    return rows


def _many(result: Result) -> list[Row]:
    found = [loop_against_batch(result, plain=plain) for plain in (True, False)]
    best = {pair[0].name: pair for pair in found if pair}
    rows = []
    for entry, ratio in best.values():
        rows += _judged("many queries", f"≥ {OF_LOOP:g} x the best peer's loop ({entry.title})", ratio, least=OF_LOOP)
    return rows


def _judged(work: str, wanted: str, found: Spread | None, *, least: float = -inf, most: float = inf) -> list[Row]:
    if found is None:
        return []
    return [[work, wanted, _shown(found), _verdict(least <= found.median <= most)]]


def _found_by(ours: Entry | None, other: Entry | None, task: str, ef: int = 0) -> str:
    """What both found, if measured, because a search that finds less is faster."""
    found, others = (ours.recall(task, ef) if ours else None), (other.recall(task) if other else None)
    return "" if found is None or others is None else f"; recall@10 {found:.4f}, its own {others:.4f}"


def _shown(found: Spread) -> str:
    return f"{found.median:.2f} ({found.lowest:.2f} to {found.highest:.2f})"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"
