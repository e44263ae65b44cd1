"""How torch's threads wait for one another on a CPU."""

from __future__ import annotations

import os
import sys
from typing import Final

from tasb_qdrant.settings import waiting_is_chosen

SPINS: Final = "3000"
"""GNU OpenMP's threads spin up to 300,000 times for more work before they sleep: milliseconds after each encoding, in
which they hold up whoever is to answer next, such as a server on the same machine. 3,000 (50 to 150 µs) still
bridges the pauses within an encoding. Of a search on two cores beside its server that saves a seventh, and an encoding
takes as long as before. See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html."""


def spin_less() -> None:
    """Have torch's threads go to sleep soon, unless the user has set how they wait.

    OpenMP reads that from the environment, once, when torch is loaded: later it's of no effect, and nothing is done.
    """
    if "torch" not in sys.modules and not waiting_is_chosen():
        os.putenv("GOMP_SPINCOUNT", SPINS)
