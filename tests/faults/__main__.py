"""Inject faults: the long form, a kind, or one case again.

python -m tests.faults              all kinds; goes on where it was stopped, writes docs/reliability.md at the end
python -m tests.faults --from 26    only the kinds from this number on; the page keeps the rows of the others
python -m tests.faults --seed N     the case with this seed again
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from tests.faults.case import Case, Verdict
from tests.faults.journal import Journal, commit
from tests.faults.kinds import KINDS, Kind, kind_named, of_seed
from tests.faults.launch import ROOT
from tests.faults.report import render
from tests.faults.runner import run_cases

BUILD = ROOT / "build" / "faults"
PAGE = ROOT / "docs" / "reliability.md"


@click.command()
@click.option("--seed", "seeds", multiple=True, type=int, help="Replay the case with this seed. Repeatable.")
@click.option("--kind", "names", multiple=True, type=click.Choice([kind.name for kind in KINDS]), help="Only these.")
@click.option("--from", "first", type=int, default=1, help="Only kinds with this number and larger ones.")
@click.option("--cases", type=int, help="At most so many of each kind.")
@click.option("--keep", type=click.Path(path_type=Path), help="Copy the folders of failed cases to this one.")
@click.option(
    "--share", default="0/1", show_default=True, help="I/N: every Nth case, from the Ith on; to run N at once."
)
@click.option("--report", "only_report", is_flag=True, help="Write the page from the journal alone.")
def main(
    seeds: tuple[int, ...],
    names: tuple[str, ...],
    first: int,
    cases: int | None,
    keep: Path | None,
    share: str,
    only_report: bool,
) -> None:
    """Inject faults into real runs of the program, and see whether anything is lost."""
    kinds = [kind_named(name) for name in names] or [kind for kind in KINDS if kind.number >= first]
    chosen = [of_seed(seed) for seed in seeds] or _chosen(kinds, cases)
    part, parts = map(int, share.split("/"))
    chosen = chosen[part::parts]
    journal = Journal(BUILD, commit())
    failed = 0
    if not only_report:
        done = set() if seeds else {one.case.seed for one in journal.verdicts()}
        failed = _run([one for one in chosen if one[1].seed not in done], None if seeds else journal, keep)
    if not (seeds or names or cases):
        verdicts = journal.verdicts()
        failed = sum(not one.ok and not one.skipped for one in verdicts)
        done = {one.case.seed for one in verdicts}
        if only_report or all(kind.case(n).seed in done for kind in kinds for n in range(kind.cases)):
            PAGE.write_text(render(verdicts, commit=journal.commit, earlier=PAGE.read_text()))
            print(f"{len(verdicts)} cases, {failed} failed; written to {PAGE}")
    sys.exit(1 if failed else 0)


def _chosen(kinds: Sequence[Kind], cases: int | None) -> list[tuple[Kind, Case]]:
    return [(kind, kind.case(n)) for kind in kinds for n in range(min(kind.cases, cases or kind.cases))]


def _run(chosen: Iterable[tuple[Kind, Case]], journal: Journal | None, keep: Path | None) -> int:
    """Run them all, told and journalled; the number of those that failed."""
    failed = 0
    began = time.monotonic()
    todo = list(chosen)
    for number, verdict in enumerate(run_cases(todo, keep=keep), start=1):
        failed += not verdict.ok and not verdict.skipped
        _tell(verdict, f"{number}/{len(todo)} {number / (time.monotonic() - began) * 60:.0f} a minute")
        if journal is not None:
            journal.add(verdict)
    return failed


def _tell(verdict: Verdict, pace: str) -> None:
    width = 1000 if not verdict.ok else shutil.get_terminal_size((200, 24)).columns
    print(f"{verdict} {verdict.seconds:.1f}s; {pace}"[:width], flush=True)


if __name__ == "__main__":
    main()
