"""The command line with a stub for an encoder, to be interrupted: python -m tests.cli.interrupted HOW PATIENCE ARGUMENTS...

HOW says what the encoder does from its third window on: "slow" takes its time, "stuck" never comes back from a
library that knows nothing of Python's signals. PATIENCE is how many seconds the command line has for that.
"""

from __future__ import annotations

import ctypes
import runpy
import sys
import time

import tasb_qdrant.cli.signals as signals
import tasb_qdrant.encoder.options as options
from tasb_qdrant.ingest import display as progress
from tests.ingest.fakes import StubEncoder

SECONDS = 0.2
"""A window's: an encoder that is busy with the next one whenever the signal comes."""


def _never_comes_back() -> None:
    library = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)  # zeros are one that is free
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def main(how: str, patience: str, *arguments: str) -> None:
    def before_encode(call: int) -> None:
        if call >= 3:
            print("window", call, flush=True)
            if how == "stuck":
                _never_comes_back()
            time.sleep(SECONDS)

    def load_encoder(*_: object, **__: object) -> StubEncoder:
        return StubEncoder(before_encode=before_encode)

    vars(options)["load_encoder"] = load_encoder
    progress.PLAIN_SECONDS = 0.0  # type: ignore[misc]  # a line at each moment, and not every ten seconds
    signals.PATIENCE_SECONDS = float(patience)  # type: ignore[misc]  # longer than a test waits for its own reason
    sys.argv[:] = ["tasb-qdrant", *arguments]
    runpy.run_module("tasb_qdrant", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
