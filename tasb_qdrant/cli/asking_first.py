"""Asking before something is deleted, and from what: that is never a default."""

from __future__ import annotations

import sys

import click
from click.core import ParameterSource


def check_named(what: str) -> None:
    """Raises UsageError unless the collection was typed: a variable or a file may name another than is meant."""
    if click.get_current_context().get_parameter_source("collection") is not ParameterSource.COMMANDLINE:
        raise click.UsageError(f"name the collection {what} with --collection; a default is not taken for that")


def declined() -> int:
    """Say that nothing was deleted, as the person said no; the exit code."""
    from tasb_qdrant.cli.failures import NAMED_ERROR, answer
    from tasb_qdrant.cli.said import said
    from tasb_qdrant.cli.screen import say

    say("Nothing was deleted.", err=True)
    answer(said(), kind="declined", message="Nothing was deleted.")
    return NAMED_ERROR


def agreed(question: str) -> bool:
    """Whether the person says yes. Raises UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; say --yes to delete without being asked")
    from tasb_qdrant.cli.screen import cleaned

    return click.confirm(cleaned(question), err=True)
