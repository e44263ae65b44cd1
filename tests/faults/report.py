"""docs/reliability.md: what was injected, and what came of it. Rows of kinds that were not run again stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tests.faults.case import COUNTED, Verdict
from tests.faults.kinds import KINDS, Kind

_HEAD: Final = """# Reliability

What happens to a load when something goes wrong in the middle of it: `make faults` runs the real command line against
real Qdrant servers (one, and a cluster of three with three replicas and a write consistency of 2) and the embedded
store, injects a fault, repeats the same command until it succeeds, and then compares every point of every replica (id,
payload, vector) with what an undisturbed run stores. Neither the comparison nor the log of acknowledged points relies on
the program under test. Kinds "in process" try many inputs in one process, each of which must end in a result or in an
error with a name, in bounded time and memory. A case of forked readers, or of a deadline, counts each reader or call.

- **lost**: points that are missing at the end, or that were acknowledged and are gone right after the fault;
- **doubled**: a passage that is stored twice;
- **wrong**: a point with another payload or vector, or one that should not exist;
- **silent**: a run that exited with 0 although something was missing or wrong;
- **hangs**: a run that was still running after 60 s;
- **secrets**: files written by the runs that contain the API key;
- **other**: anything else that is not as it should be, such as a traceback or a misleading exit code.
"""

_TAIL: Final = """
## What is not covered

Bits that flip in the files of an embedded store after a process was killed (there are no checksums
then), or in one of more than 512 MiB, until `verify` reads them; payloads and vectors that another program changes while a
load is under way; a server's own disk, beyond its being full; networks that are cut between the nodes of a cluster; other
systems than Linux.

## Again

Each kind of fault has consecutive seeds. `python -m tests.faults --seed N` replays one: it injects the same fault at the
same point, although threads and servers keep their own timing. To keep runs short, windows have 8 passages instead of
512, and the waits between retries are shortened, except where a server needs the time to come back.
"""


_COLUMNS: Final = ("fault", "seeds", "faults", *COUNTED, "other", "seconds each", "commit")
_RESENT: Final = re.compile(r"at most (\d+) points")
_IN_PROCESS: Final = "(in process)"


def render(verdicts: Sequence[Verdict], *, commit: str, earlier: str = "") -> str:
    """The page, of these verdicts and of what the `earlier` page has of other kinds."""
    rows = _earlier_rows(earlier)
    for kind in KINDS:
        if mine := [one for one in verdicts if one.case.kind == kind.name]:
            rows[kind.row] = _row(kind, mine, commit)
    rows = {kind.row: rows[kind.row] for kind in KINDS if kind.row in rows}
    table = "\n".join(
        map(_line, [_COLUMNS, ["---", "---", *["---:"] * 9, "---"], *rows.values(), _total(rows.values())])
    )
    counted = {name: int(row[2].replace(",", "")) for name, row in rows.items()}
    inside = sum(count for name, count in counted.items() if name.endswith(_IN_PROCESS))
    cases = f"{sum(counted.values()) - inside:,} faults in runs of the program"
    cases += f", and {inside:,} hostile or damaged inputs in process," if inside else ""
    ran = [one for one in verdicts if not one.skipped]
    before = _RESENT.search(earlier)
    worst = max([one.resent for one in ran] + [int(before[1]) if before else 0])
    parts = [
        f"{_HEAD}\n{cases} at the commits that the table names.\n\n{table}\n\n",
        f"After a fault, at most {worst} points that had already been acknowledged were stored again; ",
        "a request holds 8 here.\n",
    ]
    again = {kind.number for kind in KINDS if any(one.case.kind == kind.name for one in verdicts)}
    listed = [item for seed, item in _earlier_failures(earlier) if seed // 1_000_000 not in again]
    listed += [f"- `{one.case.seed}` {one.fault}: {_told(one)}" for one in ran if not one.ok][:100]
    if listed:
        parts.append("\n## What failed\n\n" + "\n".join(listed) + "\n")
    if skipped := sorted({f"{one.case.kind}: {one.skipped}" for one in verdicts if one.skipped}):
        parts.append("\n## What was left out\n\n" + "\n".join(f"- {one}" for one in skipped) + "\n")
    return "".join([*parts, _TAIL])


def _earlier_rows(page: str) -> dict[str, list[str]]:
    """The cells of each row of a kind."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0]: row for row in cells if len(row) == len(_COLUMNS) and " to " in row[1]}


def _earlier_failures(page: str) -> list[tuple[int, str]]:
    """The seed and the text of each that the page lists."""
    section = page.partition("## What failed\n")[2].partition("\n\n##")[0]
    items = re.findall(r"^- `(\d+)`.*(?:\n  .*)*", section, re.MULTILINE)
    texts = re.findall(r"^- `\d+`.*(?:\n  .*)*", section, re.MULTILINE)
    return [(int(seed), text) for seed, text in zip(items, texts, strict=True)]


def _row(kind: Kind, verdicts: Sequence[Verdict], commit: str) -> list[str]:
    seeds = sorted(one.case.seed for one in verdicts)
    ran = [one for one in verdicts if not one.skipped]
    counts = [sum(getattr(one, counted) for one in ran) for counted in COUNTED]
    other = sum(bool(one.problems) and not any(getattr(one, counted) for counted in COUNTED) for one in ran)
    each = sum(one.seconds for one in ran) / max(1, len(ran))
    faults = f"{sum(one.faults for one in ran):,}"
    return [kind.row, f"{seeds[0]} to {seeds[-1]}", faults, *map(str, counts), str(other), f"{each:.1f}", f"`{commit}`"]


def _total(rows: Iterable[Sequence[str]]) -> list[str]:
    numbers = [[int(cell.replace(",", "")) for cell in row[2:-2]] for row in rows]
    return ["**all**", "", *(f"{sum(column):,}" for column in zip(*numbers, strict=True)), "", ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(verdict: Verdict) -> str:
    counts = [f"{getattr(verdict, name)} {name}" for name in COUNTED if getattr(verdict, name)]
    return "; ".join([*counts, *verdict.problems])[:300].replace("|", "/").replace("\n", " ")
