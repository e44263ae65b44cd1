"""The progress of a run: a live bar on a terminal and in a notebook, a plain line on stderr now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tasb_qdrant.ingest.notebook import NotebookBar
from tasb_qdrant.ingest.progress import Progress as Moment
from tasb_qdrant.printable import escaped

PLAIN_SECONDS: Final = 10.0


class ProgressDisplay:
    """Call it with each snapshot of a run; use it in a `with` block. A `quiet` one shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._page = NotebookBar() if console.is_jupyter and not quiet else None
        self._last_line = 0.0
        self._last_phase = ""
        self._waited = False
        self._told: list[str] = []
        if console.is_terminal and not quiet:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[counts]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None, counts="")

    def __call__(self, moment: Moment) -> None:
        """Show it, and above it each note that hasn't been shown yet."""
        for sentence in self.untold(moment.notes):
            self._told.append(sentence)
            if self._quiet:
                continue
            if self._page is not None:
                self._page.tell(escaped(sentence))
            elif self._bar is not None:
                self._bar.console.print(Text(escaped(sentence), style="dim"))
            else:
                click.echo(escaped(sentence), err=True)
        if self._quiet:
            return
        done, total = _extent(moment)
        if self._page is not None:
            self._page.show(moment.phase, done, total, _counts(moment))
        elif self._bar is not None:
            self._bar.update(self._task, description=moment.phase, completed=done, total=total, counts=_counts(moment))
        elif self._is_due(moment):
            self._last_phase, self._last_line = moment.phase, time.monotonic()
            self._waited = bool(moment.waiting_for)
            fraction = moment.fraction
            share = "" if fraction is None or not moment.read else f" {fraction:.0%}"
            click.echo(f"{moment.phase}{share} {_counts(moment)}".rstrip(), file=sys.stderr)

    def _is_due(self, moment: Moment) -> bool:
        """Whether a plain line is due: at a new phase, when waiting begins, and every PLAIN_SECONDS."""
        news = moment.phase != self._last_phase or (bool(moment.waiting_for) and not self._waited)
        return news or time.monotonic() - self._last_line >= PLAIN_SECONDS

    def untold(self, notes: Sequence[str]) -> list[str]:
        """Those of the sentences that haven't been shown."""
        return [sentence for sentence in notes if sentence not in self._told]

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._page is not None:
            self._page.end(failed=error is not None)


def _extent(moment: Moment) -> tuple[float, float | None]:
    if moment.index is not None:
        return moment.index.indexed, moment.index.points if moment.index.indexed else None
    fraction = moment.fraction
    return (0.0, None) if fraction is None or not moment.read else (fraction, 1.0)


def _counts(moment: Moment) -> str:
    held_up = f"waiting for {moment.waiting_for}" if moment.waiting_for else ""
    return escaped(", ".join(part for part in (_how_far(moment), held_up) if part))


def _how_far(moment: Moment) -> str:
    if moment.index is not None:
        waiting = f", waiting for {moment.index.waiting_for}" if moment.index.waiting_for else ""
        return f"{moment.index.indexed:,} of {moment.index.points:,} vectors{waiting}"
    if moment.compared:
        return f"{moment.compared:,}" + (f" of {moment.to_compare:,}" if moment.to_compare is not None else "")
    if not moment.read:
        return ""
    return (
        f"{moment.stored:,} stored, {moment.passages_per_second:,.0f} passages/s, "
        f"{moment.tokens_per_second:,.0f} tokens/s"
        + (f", {moment.updated:,} updated" if moment.updated else "")
        + (f", {moment.skipped:,} skipped" if moment.skipped else "")
        + (f", {moment.rejected:,} rejected" if moment.rejected else "")
    )
