"""What becomes of an error: a line for people, an object for programs, and an exit code."""

from __future__ import annotations

import sys
from typing import Final

from tasb_qdrant import errors
from tasb_qdrant.cli.said import Said, as_bytes
from tasb_qdrant.cli.screen import say_json, say_of
from tasb_qdrant.errors import TasbQdrantError, remedy_in

DONE: Final = 0
NAMED_ERROR: Final = 1
USAGE: Final = 2
INCOMPLETE: Final = 3
NOT_FOUND: Final = 4
REFUSED: Final = 5
UNREACHABLE: Final = 6
UNAUTHORIZED: Final = 7
IN_USE: Final = 8
DAMAGED: Final = 9
DISK_FULL: Final = 10
INTERRUPTED: Final = 130

EXIT_CODES: Final[dict[type[TasbQdrantError], int]] = {
    errors.CollectionNotFoundError: NOT_FOUND,
    errors.PassageNotFoundError: NOT_FOUND,
    errors.ModelNotFoundError: NOT_FOUND,
    errors.ContractMismatchError: REFUSED,
    errors.NotOurCollectionError: REFUSED,
    errors.ResumeRefusedError: REFUSED,
    errors.DeletionRefusedError: REFUSED,
    errors.ReplaceRefusedError: REFUSED,
    errors.IndexMismatchError: REFUSED,
    errors.ServerUnreachableError: UNREACHABLE,
    errors.HubUnreachableError: UNREACHABLE,
    errors.ServerBusyError: UNREACHABLE,
    errors.SearchTimeoutError: UNREACHABLE,
    errors.UnauthorizedError: UNAUTHORIZED,
    errors.CollectionReplacedError: REFUSED,
    errors.StoreLockedError: IN_USE,
    errors.LoadUnderWayError: IN_USE,
    errors.StateLockedError: IN_USE,
    errors.StoreCorruptError: DAMAGED,
    errors.StateCorruptError: DAMAGED,
    errors.CorruptModelError: DAMAGED,
    errors.DiskFullError: DISK_FULL,
}
"""Classes of errors that a script may want to tell apart; their kinds have the code, too. Every other has 1."""


def exit_code(error: TasbQdrantError) -> int:
    """That of the error's class, or of the nearest class above it."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), NAMED_ERROR)


def show(error: TasbQdrantError, said: Said) -> int:
    """One line on stderr, and with JSON the object; returns the exit code."""
    message = f"{error}{_origin(error, said)}"
    say_of("Error", "red", message)
    answer(said, kind=error.kind, message=message, remedy=error.remedy)
    return exit_code(error)


def answer(said: Said, *, kind: str, message: str, remedy: str = "") -> None:
    """The object that `--json` prints in place of a result; nothing without --json. `kind` is stable."""
    if not said.form:
        return
    error = {"kind": kind, "message": message, "remedy": remedy or remedy_in(message) or None}
    say_json(as_bytes(said.document({"error": error}), line=said.form == "jsonl"))
    sys.stdout.flush()


def _origin(error: TasbQdrantError, said: Said) -> str:
    """Where a value comes from that the error is about, unless it was typed."""
    about = [
        f"--{name} {value} comes from {origin}"
        for name, (value, origin) in said.origins.items()
        if (repr(value) if name == "collection" else value) in str(error)
        or (name == "model" and isinstance(error, errors.ContractMismatchError))
    ]
    return f" ({'; '.join(about)})" if about else ""
