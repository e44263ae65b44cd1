"""HTML for notebooks. Everything that comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

LONGEST: Final = 300
"""Characters of a cell: a notebook is for looking, and the whole text is in the object."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, after: Iterable[str] = ()) -> str:
    """A table, and a paragraph for each sentence `after` it."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    thead = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f"<table>{thead}<tbody>{body}</tbody></table>" + "".join(f"<p>{shown(text)}</p>" for text in after)


def facts(title: str, values: Mapping[str, object], *, after: Iterable[str] = ()) -> str:
    """Names and values of a record, without those that are empty."""
    rows = [(name.replace("_", " "), value) for name, value in values.items() if value not in (None, "", (), {}, [])]
    return f"<b>{escape(title)}</b>{table([], rows, after=after)}"


def shown(value: object) -> str:
    """The value as text, shortened and escaped."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "" if value is None else str(value)
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()}…")


def _cell(value: object) -> str:
    return f"<td style='text-align:left;vertical-align:top'>{shown(value)}</td>"
