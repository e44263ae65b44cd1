"""A progress bar in a notebook: one piece of HTML that is replaced in place, without widgets to install."""

from __future__ import annotations

import time
from html import escape
from typing import Any, Final

_PERIOD: Final = 0.2
"""Seconds between two pictures: a notebook keeps up with that over a slow connection, too."""


class NotebookBar:
    """Shows how far a run is in the output of the notebook's cell."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = 0.0
        self._phase = ""
        self._notes: list[str] = []
        self._last: tuple[str, float, float | None, str] = ("", 0.0, None, "")
        self._handle: Any = None

    def tell(self, sentence: str) -> None:
        """Add a sentence below the bar."""
        self._notes.append(sentence)
        self._draw()

    def show(self, phase: str, done: float, total: float | None, counts: str) -> None:
        """Where the run is; a new phase at once, and else not too often."""
        is_new, self._phase = phase != self._phase, phase
        self._last = (phase, done, total, counts)
        if is_new or time.monotonic() - self._shown >= _PERIOD:
            self._draw()

    def end(self, *, failed: bool) -> None:
        """Draw the last state, and say if it ended in an error; what is done fills the bar."""
        if not failed:
            phase, _, _, counts = self._last
            self._last = (phase, 1.0, 1.0, counts)
        self._draw(" (failed)" if failed else "")

    def _draw(self, remark: str = "") -> None:
        from IPython.display import HTML, display

        self._shown = time.monotonic()
        phase, done, total, counts = self._last
        extent = "" if total is None else f" max='{total:g}' value='{done:g}'"
        seconds = time.monotonic() - self._began
        state = f"{phase}{remark} {counts}".strip()
        page = f"<div><progress{extent}></progress> {escape(state)} <small>{seconds:.0f} s</small></div>"
        html = HTML(page + "".join(f"<div><small>{escape(note)}</small></div>" for note in self._notes))
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)
