"""docs/reliability.md: what was injected, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.faults.case import COUNTED, Verdict
from tests.faults.kinds import KINDS, Kind

_HEAD: Final = """# Reliability

What happens to a load when something goes wrong in the middle of it: `make faults` runs the real command line against
real Qdrant servers (one, and a cluster of three with three replicas and a write consistency of 2) and the embedded
store, injects a fault, repeats the same command until it succeeds, and then compares every point of every replica (id,
payload, vector) with what an undisturbed run stores. Neither the comparison nor the log of acknowledged points relies on
the program under test.

- **lost**: points that are missing at the end, or that were acknowledged and are gone right after the fault;
- **doubled**: a passage that is stored twice;
- **wrong**: a point with another payload or vector, or one that should not exist;
- **silent**: a run that exited with 0 although something was missing or wrong;
- **hangs**: a run that was still running after 60 s;
- **secrets**: files written by the runs that contain the API key;
- **other**: anything else that is not as it should be, such as a traceback or a misleading exit code.
"""

_TAIL: Final = """
Each kind of fault has consecutive seeds. `python -m tests.faults --seed N` replays one: it injects the same fault at the
same point, although threads and servers keep their own timing. To keep runs short, windows have 8 passages instead of
512, and the waits between retries are shortened, except where a server needs the time to come back.
"""


def render(verdicts: Sequence[Verdict], *, commit: str, seconds: float) -> str:
    """The page."""
    rows = [row for kind in KINDS if (row := _row(kind, [one for one in verdicts if one.case.kind == kind.name]))]
    total = _cells("**all**", "", verdicts)
    ran = [one for one in verdicts if not one.skipped]
    header = ["fault", "seeds", "faults", *COUNTED, "other", "seconds each"]
    table = "\n".join([_line(header), _line(["---", "---", *["---:"] * (len(header) - 2)]), *rows, total])
    failed = [one for one in ran if not one.ok]
    worst = max((one.resent for one in ran), default=0)
    alone = sum(one.faults for one in ran if one.faults > 1)
    cases = f"{sum(one.faults == 1 for one in ran):,} faults in runs of the program"
    cases += f", and {alone:,} damaged checkpoints read in process," if alone else ""
    parts = [
        f"{_HEAD}\n{cases} at commit `{commit}`, in {seconds / 60:.0f} minutes.\n\n{table}\n\n",
        f"After a fault, at most {worst} points that had already been acknowledged were stored again; ",
        "a request holds 8 here.\n",
    ]
    if failed:
        listed = "\n".join(f"- `{one.case.seed}` {one.fault}: {_told(one)}" for one in failed[:100])
        parts.append(f"\n## What failed\n\n{listed}\n")
    if skipped := sorted({f"{one.case.kind}: {one.skipped}" for one in verdicts if one.skipped}):
        parts.append("\n## What was left out\n\n" + "\n".join(f"- {one}" for one in skipped) + "\n")
    return "".join([*parts, _TAIL])


def _row(kind: Kind, verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    seeds = sorted(one.case.seed for one in verdicts)
    return _cells(kind.row, f"{seeds[0]} to {seeds[-1]}", verdicts)


def _cells(name: str, seeds: str, verdicts: Sequence[Verdict]) -> str:
    ran = [one for one in verdicts if not one.skipped]
    counts = [sum(getattr(one, counted) for one in ran) for counted in COUNTED]
    other = sum(bool(one.problems) and not any(getattr(one, counted) for counted in COUNTED) for one in ran)
    each = sum(one.seconds for one in ran) / max(1, len(ran))
    return _line([name, seeds, f"{sum(one.faults for one in ran):,}", *map(str, counts), str(other), f"{each:.1f}"])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(verdict: Verdict) -> str:
    counts = [f"{getattr(verdict, name)} {name}" for name in COUNTED if getattr(verdict, name)]
    return "; ".join([*counts, *verdict.problems])[:300].replace("|", "/").replace("\n", " ")
