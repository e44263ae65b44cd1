"""What was recognised in a source, and what of it was missed, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasb_qdrant.settings import IndexType
from tasb_qdrant.sources import FieldsTaken, SourceReader

_SHOWN = 3


def what_was_recognised(taken: Sequence[FieldsTaken]) -> tuple[str, ...]:
    """A sentence for each way in which the sources' fields were taken, said before anything is stored."""
    ways: dict[str, list[str]] = {}
    for one in taken:
        ways.setdefault(_way(one), []).append(one.source)
    if len(ways) <= _SHOWN:
        return tuple(f"{_named(sources)}: {way}." for way, sources in ways.items())
    shown = [f"{_named(sources)}: {way}." for way, sources in list(ways.items())[:_SHOWN]]
    return (*shown, f"{len(ways) - _SHOWN} other ways in other sources.")


def what_was_missed(reader: SourceReader | None, unindexed: Sequence[str]) -> tuple[str, ...]:
    """Warnings after the last passage; `unindexed` are fields that were to be indexed and that no passage has."""
    warnings: list[str] = []
    if unindexed:
        warnings.append(
            f"no passage has the field {', '.join(unindexed)} that --index names; a filter on it finds nothing. If it "
            "is mistyped, index the right one"
        )
    if reader is None:
        return tuple(warnings)
    if reader.nulled:
        plural = "s" if reader.nulled > 1 else ""
        warnings.append(f"{reader.nulled:,} value{plural} that JSON can't represent (NaN or Infinity) became null")
    if reader.whole_ids:
        ids = (
            "1 id that was a float was" if reader.whole_ids == 1 else f"{reader.whole_ids:,} ids that were floats were"
        )
        warnings.append(f"{ids} read as whole numbers, such as 7.0 as 7")
    if unseen := reader.unseen_fields:
        warnings.append(f"no record has the field {', '.join(map(repr, unseen))} that --fields names")
    return tuple(warnings)


def exact_indexes(indexes: Mapping[str, IndexType], taken: Sequence[FieldsTaken]) -> dict[str, IndexType]:
    """The indexes, with a name such as `meta.year` in Qdrant's quotes if a column has exactly that name.

    Otherwise it would be the path of a member `year` of an object `meta`.
    """
    dotted = {name for one in taken for name in one.payload if "." in name}
    return {f'"{name}"' if name in dotted else name: kind for name, kind in indexes.items()}


def _way(taken: FieldsTaken) -> str:
    identifier = f"id from {taken.id}" if taken.id is not None else f"id made from the {taken.id_from}"
    title = f", title from {taken.title}" if taken.title else ""
    typed = [f"{name} as {kind}" for name, kind in (taken.types or {}).items()]
    return f"{identifier}, text from {taken.text}{title}" + (f"; read {', '.join(typed)}" if typed else "")


def _named(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1:,} more"
