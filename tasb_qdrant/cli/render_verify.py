"""What a verification found, and what a synchronisation would do, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from tasb_qdrant.cli.render import clean, warn
from tasb_qdrant.cli.screen import stdout
from tasb_qdrant.ingest import SyncPlan
from tasb_qdrant.records.verification import Difference, VerifyReport

_NAMED: Final = 3


def print_verification(found: VerifyReport) -> None:
    """Whether all is equal, what isn't, with the first ids of each kind, and what could not be checked."""
    console = stdout()
    if found.encoded or found.updated:
        console.print(
            f"Repaired: {found.encoded:,} passages encoded and stored, {found.updated:,} payloads replaced. Now:"
        )
    if found.equal:
        head = ("Equal", "bold green")
    elif found.differences:
        head = (f"{found.differences:,} differences", "bold red")
    elif found.damaged:
        head = ("Damaged", "bold red")
    else:
        head = ("No differences in what was checked", "bold yellow")
    of = "" if found.documents is None else f"{found.documents:,} documents of "
    console.print(Text.assemble(head, f": {found.read:,} passages of {of}the source, collection {found.collection!r}"))
    for view, points in found.points.items():
        console.print(Text(f"  {points:,} points {f'at {view}' if view else f'in it at {found.location}'}"))
    for each in Difference:
        if count := found.count(each):
            console.print(Text.assemble((f"  {count:,}", "bold"), f" {each.meaning}{_named(found, each, count)}"))
    if found.sampled:
        cosine = "" if found.lowest_cosine is None else f", lowest cosine {found.lowest_cosine:.5f}"
        console.print(f"  {found.sampled:,} vectors compared{cosine}")
    if found.report_file:
        console.print(Text(f"  all of them are in {found.report_file}"))


def print_plan(plan: SyncPlan) -> None:
    """The counts of a synchronisation that wasn't made."""
    console = stdout()
    console.print(
        f"Would delete {plan.delete:,} of {plan.points:,} points, encode {plan.encode:,} passages"
        + (f" ({plan.replace:,} of them replace a stored text)" if plan.replace else "")
        + f", update {plan.update:,} payloads and leave {plan.unchanged:,} as they are. Nothing was changed."
    )


def warn_of_verification(found: VerifyReport) -> None:
    """What of it was not checked, or has to be done otherwise."""
    if found.rejected:
        warn(f"{found.rejected:,} inputs of the source can't be stored; ingest with --rejects FILE names them")
    for sentence in found.unchecked:
        warn(sentence)
    if found.damaged:
        more = f", and {len(found.damaged) - _NAMED:,} more" if len(found.damaged) > _NAMED else ""
        warn(
            f"{len(found.damaged):,} files of the embedded store are not as they were written "
            f"({', '.join(found.damaged[:_NAMED])}{more}); restore the folder from a backup, or delete the collection "
            "and ingest again"
        )
    if found.extra and not found.extra_allowed:
        warn("to delete what the source doesn't have, use: tasb-qdrant ingest --sync")


def warn_of_plan(plan: SyncPlan) -> None:
    """What would keep the synchronisation from being made, or complete."""
    if plan.rejected:
        warn(f"{plan.rejected:,} inputs of the source can't be stored; ingest with --rejects FILE names them")
    if plan.refusal:
        warn(f"the deletion would be refused, as {plan.refusal}; say --delete-anyway if you mean it")
    if plan.field_refusal:
        warn(plan.field_refusal)
    for sentence in plan.unchecked:
        warn(sentence)


def _named(found: VerifyReport, difference: Difference, count: int) -> str:
    names: Sequence[str] = found.examples.get(difference, ())
    more = ", …" if count > len(names) else ""
    return f": {', '.join(clean(name) for name in names)}{more}" if names else ""
