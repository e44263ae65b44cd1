"""Asking before something is deleted."""

from __future__ import annotations

import sys

import click


def agreed(question: str) -> bool:
    """Whether the person says yes. Raises UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; say --yes to delete without being asked")
    return click.confirm(question, err=True)
