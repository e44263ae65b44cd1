"""Text of others, such as names of fields and a server's words, as one line that can't steer a terminal or forge one
of a log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

_STEERS: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: colours, titles, cursor
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # the order that text is shown in
    "\u2028\u2029"  # other ends of lines
    "\u200b\u2060-\u2065\ufeff\ufff9-\ufffb"  # without a width; joiners stay, which emoji and Persian need
    "\ud800-\udfff"  # no text at all, and no encoding takes them
)
STEERING: Final = re.compile(f"[{_STEERS}]")
"""Characters that do something else than being seen."""

DOWNLOADS: Final = "tasb_qdrant.downloads"
"""The logger of what is about to be downloaded, which the command line shows unasked."""

_NAME_CHARS: Final = 300
_NAMES: Final = 50


def escaped(text: str, *, but: str = "") -> str:
    r"""The text on one line: what steers is spelled as in Python's strings, `\x1b` or `\u202e`; `but` is left alone."""
    if text.isascii() and text.isprintable():
        return text
    return STEERING.sub(lambda found: found[0] if found[0] in but else _spelled(found[0]), text)


def named(name: str) -> str:
    """A name of others in a message: as it is if it is plain, else as Python writes it, shortened if need be."""
    name = str(name)
    short = name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…"
    return short if short.isprintable() and short == short.strip() and short else repr(short)


def listed(names: Iterable[str]) -> str:
    """Names of others in a message, the first of them if they are many."""
    every = [*names]
    return ", ".join([*map(named, every[:_NAMES]), *(["…"] if len(every) > _NAMES else [])])


def logger(name: str) -> logging.Logger:
    """The logger of a module. What its records quote is on one line, whoever handles them."""
    found = logging.getLogger(name)
    found.addFilter(_on_one_line)  # a filter that is there isn't added again
    return found


def _on_one_line(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(arg if isinstance(arg, int | float) else escaped(str(arg)) for arg in record.args)
    return True


def _spelled(character: str) -> str:
    shown = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if shown is not None:
        return shown
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
