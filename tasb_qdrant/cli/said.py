"""What a command has said beside its result, which `--json` repeats; and how it is to answer, should it fail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import click
import orjson

from tasb_qdrant.records.json_text import json_bytes

VERSION: Final = 1
"""Of the JSON that commands print. A key that is added leaves it as it is; one that is renamed, removed or means
something else makes it 2."""

_FORMAT: Final = re.compile(r"--format=(jsonl?)")


@dataclass(slots=True)
class Said:
    """The warnings and notes of one command line, in their order.

    `form` is what the command line asks for: one JSON document, JSON lines, or "" for text. `origins` has the values
    of options that nobody typed, and where they come from.
    """

    form: Literal["", "json", "jsonl"] = ""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)

    def document(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """`result` with the version, and with what was said so far and isn't in it; saying so empties both lists."""
        own = {name: list(result.get(name, ())) for name in ("warnings", "notes")}
        warnings = list(dict.fromkeys([*self.warnings, *own["warnings"]]))
        notes = list(dict.fromkeys([*self.notes, *own["notes"]]))
        self.warnings, self.notes = [], []
        rest = {name: value for name, value in result.items() if name not in own}
        return {"version": VERSION, "warnings": warnings, "notes": notes, **rest}


def said() -> Said:
    """That of the command line that runs now; outside of one, what is said is forgotten."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_object(Said)
    return Said() if found is None else found


def form_of(arguments: Sequence[str]) -> Literal["", "json", "jsonl"]:
    """What `arguments` ask for, seen before they are parsed: a mistake in them is answered as JSON, too.

    --format is how `search` answers; in other commands it is the format of what they read.
    """
    answers = next((argument for argument in arguments if not argument.startswith("-")), "") == "search"
    form: Literal["", "json", "jsonl"] = ""
    lines = answers and "--interactive" in arguments
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        value = _format(arguments[position : position + 2]) if answers else ""
        if value == "jsonl":
            return "jsonl"
        if argument == "--json" or value == "json":
            form = "jsonl" if lines else "json"
    return form


def _format(arguments: Sequence[str]) -> str:
    """What the first of these gives as --format, in one argument or in two."""
    if match := _FORMAT.fullmatch(arguments[0]):
        return match[1]
    return "".join(arguments[1:]) if arguments[0] == "--format" else ""


def as_bytes(document: Mapping[str, Any], *, line: bool) -> bytes:
    """One document, on one line or indented."""
    return json_bytes(document, option=None if line else orjson.OPT_INDENT_2)
