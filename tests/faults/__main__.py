"""Inject faults: python -m tests.faults [--seed N] [--kind NAME] [--cases N]."""

from __future__ import annotations

import sys

import click

from tests.faults.kinds import KINDS, kind_named, of_seed
from tests.faults.rig import Rig
from tests.faults.runner import run_cases


@click.command()
@click.option("--seed", "seeds", multiple=True, type=int, help="Replay the case with this seed. Repeatable.")
@click.option("--kind", "names", multiple=True, type=click.Choice([kind.name for kind in KINDS]), help="Only these.")
@click.option("--cases", type=int, help="At most so many of each kind.")
def main(seeds: tuple[int, ...], names: tuple[str, ...], cases: int | None) -> None:
    """Inject faults into real runs of the program, and see whether anything is lost."""
    chosen = [of_seed(seed) for seed in seeds]
    if not seeds:
        kinds = [kind_named(name) for name in names] or list(KINDS)
        chosen = [(kind, kind.case(n)) for kind in kinds for n in range(min(kind.cases, cases or kind.cases))]
    failed = 0
    with Rig() as rig:
        for verdict in run_cases(rig, chosen):
            print(verdict, f"{verdict.seconds:.1f}s", flush=True)
            failed += not verdict.ok
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
