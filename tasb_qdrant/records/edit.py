"""What became of an edit: passages deleted, patched or replaced one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tasb_qdrant.records.hit import Hit

EditKind = Literal["deleted", "patched", "replaced"]


@dataclass(frozen=True, slots=True)
class EditReport:
    """What an edit did to a collection.

    `matched` passages are there and were meant, and `changed` of them were deleted, patched or replaced: all, or none
    in a `dry_run`. `missing` are the ids that the collection doesn't have. Of those replaced, `encoded` got a new
    vector, as their title or text is new, and `truncated` of these are longer than the model reads. `sample` has some
    of the passages of a dry run.
    """

    collection: str
    location: str
    kind: EditKind
    matched: int
    changed: int
    missing: tuple[str, ...] = ()
    encoded: int = 0
    truncated: int = 0
    dry_run: bool = False
    sample: tuple[Hit, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            "collection": self.collection,
            "location": self.location,
            "kind": self.kind,
            "matched": self.matched,
            "changed": self.changed,
            "missing": list(self.missing),
            "encoded": self.encoded,
            "truncated": self.truncated,
            "dry_run": self.dry_run,
            "sample": [hit.to_dict() for hit in self.sample],
        }
