"""What the program says while it works, beside its results: `-v`, `-q` and `TASB_QDRANT_LOG`."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import click

from tasb_qdrant.cli.said import said
from tasb_qdrant.cli.screen import say
from tasb_qdrant.printable import DOWNLOADS, STEERING

_PACKAGE: Final = "tasb_qdrant"
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
_COLOURS: Final = {logging.DEBUG: "bright_black", logging.INFO: "cyan", logging.WARNING: "yellow", logging.ERROR: "red"}
_STEERING: Final = re.compile(f"{STEERING.pattern}+")
_VERBOSE: Final = f"{__name__}.verbose"
_QUIET: Final = f"{__name__}.quiet"


class LineHandler(logging.Handler):
    """A record is a line on standard error as it is at that moment: a progress bar puts itself in its place, and shows
    lines above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Without control characters: what a server says must not be able to control the terminal."""
        try:
            stream = sys.stderr
            level = f"{record.levelname.lower():<7}"
            if stream.isatty():
                level = click.style(level, fg=_COLOURS.get(record.levelno))
            moment = time.strftime("%H:%M:%S", time.localtime(record.created))
            name = record.name.removeprefix(f"{_PACKAGE}.")
            text = _STEERING.sub(" ", record.getMessage())
            stream.write(f"{moment}.{record.msecs:03.0f} {level} {name}: {text}\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # standard error is closed: there is nobody to tell, and results still go to standard output


def is_quiet() -> bool:
    """Whether -q was given: neither notes nor progress are wanted."""
    return bool(_told().get(_QUIET))


def is_verbose() -> bool:
    """Whether -v was given."""
    return bool(_told().get(_VERBOSE))


def with_verbosity(command: click.Command) -> click.Command:
    """The command, and those in it, with -v and -q."""
    if not any(parameter.name == "verbose" for parameter in command.params):
        _verbose(command)
        _quiet(command)
        # A group's command comes with the same options, and its help must not wait for what reads the environment.
        if command.callback is not None and not isinstance(command, click.Group):
            command.callback = _logging(command.callback)
    if isinstance(command, click.Group):
        for one in command.commands.values():
            with_verbosity(one)
    return command


def _told() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return {} if context is None else context.meta


def _noted(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback that adds what was given to what was given before, to the program or a group."""

    def note(context: click.Context, _: click.Parameter, given: Any) -> None:
        context.meta[key] = context.meta.get(key, 0) + int(given)

    return note


def _logging(callback: Callable[..., Any]) -> Callable[..., Any]:
    """What a command does, logged as wanted while it does it. Parsing alone changes nothing, and at the end the
    package's logger is as it was: whoever runs the program as a part of theirs has their own way to log."""

    @wraps(callback)
    def logged(*args: Any, **options: Any) -> Any:
        logger = logging.getLogger(_PACKAGE)
        before, handler = logger.level, LineHandler()
        logger.setLevel(_level(_told()))
        logger.addHandler(handler)
        try:
            with _downloads_said(aloud=logger.level > logging.INFO):
                return callback(*args, **options)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)

    return logged


class _Notes(logging.Handler):
    """A record is a note of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        said().notes.append(record.getMessage())
        if not is_quiet():
            say(record.getMessage(), err=True, dim=True)


@contextmanager
def _downloads_said(*, aloud: bool) -> Iterator[None]:
    """What is about to be downloaded is a note, unless it is logged anyway: nobody needs to ask for it."""
    downloads = logging.getLogger(DOWNLOADS)
    before, handler = downloads.level, _Notes()
    if aloud:
        downloads.propagate = False
        downloads.setLevel(logging.INFO)
        downloads.addHandler(handler)
    try:
        yield
    finally:
        downloads.removeHandler(handler)
        downloads.setLevel(before)
        downloads.propagate = True


def _level(told: dict[str, Any]) -> int:
    """What -q or -v say, else the environment, else nothing: a command's own notes and warnings say what matters."""
    if told.get(_QUIET):
        return logging.ERROR
    if verbose := told.get(_VERBOSE):
        return logging.DEBUG if verbose > 1 else logging.INFO
    from tasb_qdrant.errors import SettingsError
    from tasb_qdrant.settings import log_level

    named = log_level()
    if (level := _LEVELS.get(named.strip().lower() or "off")) is None:
        raise SettingsError(f"TASB_QDRANT_LOG is one of {', '.join(_LEVELS)}; got {named!r}")
    return level


_verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_noted(_VERBOSE),
    help="Log what is chosen, waited for and tried again; -vv: everything. [default: $TASB_QDRANT_LOG]",
)
_quiet = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_noted(_QUIET), help="Neither notes nor progress."
)
