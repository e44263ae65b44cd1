"""Some room that an embedded collection keeps for itself, so that it can be opened when its disk is full.

The engine writes a few small files whenever a collection is opened and closed. DIR/NAME/reserve/ holds as many
files, filled with nothing, and gives them up when they are needed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from tasb_qdrant.collection.edge.space import MIB, space_at

_FOLDER: Final = "reserve"
_FILES: Final = 4
_BYTES: Final = 512 * 1024
"""Opening and closing takes 4 or 8 KiB for each segment; a collection has a few dozen at the most."""

_SHORT: Final = 4 * MIB
_FEW: Final = 64


def release_if_short(folder: Path) -> None:
    """Give the room up if there is little other."""
    space = space_at(folder)
    if space.bytes < _SHORT or (space.files is not None and space.files < _FEW):
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def keep(folder: Path) -> None:
    """Take the room, if it isn't taken yet and can be had: a full disk is no reason to fail here."""
    reserve = folder / _FOLDER
    if reserve.exists() or not hasattr(os, "posix_fallocate"):
        return
    try:
        reserve.mkdir()
        for number in range(_FILES):
            with (reserve / str(number)).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _BYTES // _FILES)
    except OSError:
        with suppress(OSError):
            shutil.rmtree(reserve)
