"""Generated sections of a document that is otherwise written by hand."""

from __future__ import annotations


class NoSectionError(Exception):
    """The document has no such markers."""


def begin_of(name: str) -> str:
    return f"<!-- begin generated: {name} -->"


def end_of(name: str) -> str:
    return f"<!-- end generated: {name} -->"


def with_section(document: str, name: str, text: str) -> str:
    """`document` with the part between the markers of `name` replaced. Raises NoSectionError."""
    before, begin, rest = document.partition(begin_of(name))
    _, end, after = rest.partition(end_of(name))
    if not begin or not end:
        raise NoSectionError(f"expected {begin_of(name)} and {end_of(name)} in the document; put them where it belongs")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
