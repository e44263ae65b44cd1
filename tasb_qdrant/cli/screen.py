"""What the program prints, all of it: text of others is escaped here, and can't steer the terminal."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import click
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from tasb_qdrant.printable import escaped


def say(text: str, *, err: bool = False, **style: Any) -> None:
    """A line, or several; `style` is click's."""
    text = cleaned(text)
    click.echo(click.style(text, **style) if style else text, err=err)


def say_of(word: str, colour: str, text: str) -> None:
    """A line on stderr after a coloured word: `Error: ...`."""
    click.echo(f"{click.style(f'{word}:', fg=colour, bold=word == 'Error')} {cleaned(text)}", err=True)


def say_json(document: bytes) -> None:
    """JSON of `said.as_bytes`, which is clean, on a line of its own; UTF-8, whatever the encoding of the terminal."""
    click.echo(document)


def cleaned(text: str) -> str:
    """The text with its own line breaks and tabs."""
    return escaped(text, but="\n\t")


def stdout() -> Console:
    """A console on standard output; made anew each time, since tests replace it.

    Lines are wrapped only on a terminal: elsewhere one result is one line, for grep and the like.
    """
    made = Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())
    made.push_render_hook(_CLEAN)
    return made


def encode_anything() -> None:
    """Have standard output and error take every character, whatever their encoding: one that it lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a program puts in their place may have no encoding at all
            with suppress(OSError):  # one that says that it can seek, and can't, stays as it is
                stream.reconfigure(errors="backslashreplace")


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As `sys.excepthook` does."""
    lines = traceback.format_exception(kind, error, trace)
    click.echo(cleaned("".join(lines).rstrip()), err=True)


class _Clean(RenderHook):
    """Escapes what is rendered, whoever has made it."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(renderable) for renderable in renderables]


class _Cleaned:
    def __init__(self, content: ConsoleRenderable) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._content, options):
            yield segment if segment.control else Segment(cleaned(segment.text), segment.style)


_CLEAN: Final = _Clean()
