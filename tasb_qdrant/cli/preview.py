"""What `ingest --dry-run` shows of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tasb_qdrant.cli.highlight import excerpt
from tasb_qdrant.cli.render import clean, print_json, warn
from tasb_qdrant.cli.screen import stdout

if TYPE_CHECKING:
    from tasb_qdrant.ingest import Preview
    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.ingest.source.preview import PreviewedFile
    from tasb_qdrant.settings import CollectionSettings

_SHOWN_FILES = 10


def preview_of(
    sources: tuple[str, ...], source: SourceOptions, settings: CollectionSettings, *, limit: int | None, as_json: bool
) -> int:
    """Print what would be read."""
    from tasb_qdrant.cli.failures import DONE, INCOMPLETE
    from tasb_qdrant.ingest import preview
    from tasb_qdrant.ingest.source.preview import SHOWN

    found = preview(list(sources), limit=limit or SHOWN, indexes=settings.indexes, **source)
    if not as_json:
        print_preview(found)
    if found.rejected:
        warn(f"{found.rejected:,} of them can't be stored; the first: {clean(found.first_reject or '')}")
    if as_json:
        print_json(found.to_dict())
    return INCOMPLETE if found.rejected else DONE


def print_preview(found: Preview) -> None:
    """The files, the fields, the first passages, and how many there are."""
    console = stdout()
    for file in found.files[:_SHOWN_FILES]:
        console.print(Text(clean(f"{file.name}: {_described(file)}")))
    if (more := len(found.files) - _SHOWN_FILES) > 0:
        console.print(f"and {more:,} more files")
    for passage in found.first:
        title = f" {clean(passage.title)}" if passage.title else ""
        console.print(Text.assemble((f"[{clean(passage.id)}]", "dim"), (title, "bold")))
        console.print(Text(f"    {excerpt(clean(passage.text), frozenset(), limit=200)}"))
        if passage.payload:
            console.print(Text(f"    {clean(', '.join(f'{k}={v!r}' for k, v in passage.payload.items()))[:300]}"))
    if found.complete:
        console.print(f"{found.read:,} passages. Nothing was stored.")
    else:
        about = "an unknown number of" if found.estimate is None else f"about {found.estimate:,}"
        console.print(f"Read {found.read:,} of {about} passages. Nothing was stored.")
    if found.proposed_indexes:
        options = " ".join(f"--index {field}:{kind}" for field, kind in found.proposed_indexes.items())
        console.print(Text(f"Indexes that suit: {options}"))


def _described(file: PreviewedFile) -> str:
    size = "" if file.size is None else f", {file.size:,} bytes"
    if file.text is None:
        return f"{file.format}{size}"
    roles = f"id from {file.id or 'what --id-from says'}, text from {file.text}"
    title = f", title from {file.title}" if file.title else ""
    types = file.types or {}
    fields = ", ".join(f"{name} ({types[name]})" if name in types else name for name in file.payload)
    return f"{file.format}{size}; {roles}{title}" + (f"; fields: {fields}" if fields else "")
