"""How torch's threads wait for one another on a CPU."""

from __future__ import annotations

import os
import sys
from typing import Final

from tasb_qdrant.forks import Started
from tasb_qdrant.settings import waiting_is_chosen

SPINS: Final = "3000"
"""GNU OpenMP threads spin up to 300,000 times before they sleep: for milliseconds after each encoding, they hold up
whoever has to answer next, such as a server on the same machine. 3,000 spins (50 to 150 µs) still bridge the pauses
within an encoding. That saves a seventh of a search on two cores shared with its server, and encoding takes as long
as before. See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html."""


ELSEWHERE: Final = (
    "its threads are not in this one, which would wait for them for ever; load the encoder in each process, after the "
    'fork, and none before it, or start processes with multiprocessing\'s "spawn" (docs/workers.md)'
)


_THREADS: Final = Started()
"""Those of torch, which it starts once and keeps."""


def begin_threads() -> None:
    """Torch's threads are used from now on. Raises ForkedError in a process that was forked from one that used them."""
    _THREADS.check("a model", remedy=ELSEWHERE)
    _THREADS.begin()


def spin_less() -> None:
    """Make torch's threads go to sleep soon, unless the user has set how they wait.

    OpenMP reads this from the environment once, when torch is loaded; after that, this function does nothing.
    """
    if "torch" not in sys.modules and not waiting_is_chosen():
        os.putenv("GOMP_SPINCOUNT", SPINS)
