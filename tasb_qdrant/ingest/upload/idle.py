"""How idle this machine is, as Linux tells."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tasb_qdrant.cores import is_limited

_IDLE: Final = (3, 4)
"""Of the times on the first line of /proc/stat: idle, and idle while something is read or written."""

_TIMES: Final = 8
"""What follows, the time of guests, is in the first ones already."""


class IdleShare:
    """The share of this machine's cores, from 0 to 1, that had nothing to do between two looks.

    It is 0 for a process that is `limited` to fewer cores than the machine has: what is idle isn't for it to use, nor
    likely for a server beside it.
    """

    def __init__(self, stat: Path = Path("/proc/stat"), *, limited: bool | None = None) -> None:
        self._stat = stat
        self._limited = is_limited() if limited is None else limited
        self._last = self._times()

    def look(self) -> float:
        """Since the last look; 0 where the system doesn't tell."""
        last, self._last = self._last, self._times()
        passed = [now - then for now, then in zip(self._last, last, strict=False)]
        total = sum(passed)
        return sum(passed[at] for at in _IDLE) / total if total > 0 and not self._limited else 0.0

    def _times(self) -> list[int]:
        """Of all cores together, in ticks; [] where the system doesn't tell."""
        try:
            first = self._stat.read_text(encoding="ascii").partition("\n")[0]
        except OSError:
            return []
        return [int(each) for each in first.split()[1 : _TIMES + 1]]
