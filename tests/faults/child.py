"""What a forked child does: put the hooks of its fault in place, then be `tasb-qdrant`."""

from __future__ import annotations

import atexit
import importlib
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.faults import pace, points
from tests.faults.corpus import WINDOW

_SMALLER: Final = (
    ("tasb_qdrant.ingest.read.windows", "WINDOW_SIZE", WINDOW),
    ("tasb_qdrant.ingest.resume.journal", "EVERY_SECONDS", 0.0),
    ("tasb_qdrant.ingest.resume.journal", "_POLL_SECONDS", 0.001),
    ("tasb_qdrant.ingest.resume.journal", "_SHARE", 0),
)
"""What makes a run of a tenth of a second have as many windows and checkpoints as one of an hour."""


def become(run: dict[str, Any]) -> None:
    """Run the program's entry point with `argv`, in `folder`, its output in `out` and `err`. Ends as it ends.

    `hooks` are a list of objects with a `hook`, one of HOOKS, and its arguments.
    """
    _redirect(Path(run["out"]), Path(run["err"]))
    os.chdir(run["folder"])
    os.environ.update(run["env"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # as in a new process; the one that forks ignores it
    random.seed(run["seed"])
    pace.set_pace(run["pace"], log=Path(run["waits"]))
    ingest_run = importlib.import_module("tasb_qdrant.ingest.run")
    ingest_run.__dict__["sleep_until"] = pace.shorten(ingest_run.sleep_until)
    for module, name, value in _SMALLER:
        importlib.import_module(module).__dict__[name] = value
    points.install(run["hooks"])
    if job := run.get("job"):
        module, _, function = str(job).partition(":")
        getattr(importlib.import_module(module), function)(*run["argv"])
        _leave(0)
    sys.argv = ["tasb-qdrant", *run["argv"]]
    from tasb_qdrant.cli.main import main

    # Not before: what interrupts the harness says nothing about the program.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except SystemExit as error:
        if run["whole_exit"]:
            raise
        _leave(error.code if isinstance(error.code, int) else int(error.code is not None))


def _leave(code: int) -> NoReturn:
    """Exit as Python does, but without taking down thousands of modules one by one, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for all threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def space_checkpoints(seconds: float) -> None:
    """A hook: no checkpoint sooner after another than this."""
    importlib.import_module("tasb_qdrant.ingest.resume.journal").__dict__["EVERY_SECONDS"] = seconds


def _redirect(out: Path, err: Path) -> None:
    for path, descriptor in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
