"""What a verification found when it compared a source with a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, Self

from tasb_qdrant.records.html import facts


class Repair(Enum):
    """What puts an id right."""

    ENCODE = auto()
    """Encoding the passage and storing it anew."""

    PAYLOAD = auto()
    """A new payload; the vector stays, since it depends on title and text alone."""

    NONE = auto()
    """Nothing that a repair does: the source or a deletion has to."""


class Difference(StrEnum):
    """How an id differs between source and collection; the value is its name in reports and report files.

    `attribute` is the count of such ids in a VerifyReport, `repair` what puts them right, `meaning` says what such
    ids do, for people.
    """

    MISSING = "missing", "missing", Repair.ENCODE, "are not in the collection"
    EXTRA = "extra", "extra", Repair.NONE, "are in the collection and not in the source"
    DUPLICATE = "duplicate", "duplicates", Repair.NONE, "occur more than once with different content"
    TEXT = "text", "text", Repair.ENCODE, "are stored with another title or text"
    PAYLOAD = "payload", "payload", Repair.PAYLOAD, "are stored with other fields"
    NO_VECTOR = "no_vector", "no_vector", Repair.ENCODE, "are stored without a vector"
    VECTOR = "vector", "vectors", Repair.ENCODE, "of the sample have another vector than the encoder makes"

    attribute: str
    repair: Repair
    meaning: str

    def __new__(cls, name: str, attribute: str, repair: Repair, meaning: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.attribute, member.repair, member.meaning = attribute, repair, meaning
        return member

    @classmethod
    def mended_by(cls, *repairs: Repair) -> tuple[Difference, ...]:
        """Those that these repairs put right."""
        return tuple(each for each in cls if each.repair in repairs)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How a `collection`, at `location`, differs from its source. Each id is counted once, however many replicas it
    differs on.

    `read` counts the distinct passages of the source that can be stored, `rejected` the inputs that can't, `duplicates`
    the ids that recur with different content. `points` is the exact count in each view of the collection: each peer of
    a cluster, or "" for the collection as a whole. `text` counts passages stored with another title or text, `payload`
    those in which only other fields differ, `no_vector` those whose vector (or whose words, with BM25) another program
    deleted or never stored, `vectors` those of the `sampled` whose vector is not the encoder's
    (`lowest_cosine` over all of them) or whose BM25 vector is not that of the text. Ids that the collection doesn't
    have are `missing`; those that the source doesn't have are `extra`, which matters unless `extra_allowed`.
    `damaged` names the files of an embedded store that aren't as they were written. `unchecked` says what could not be
    checked. `examples` name the first ids of each kind, `report_file` lists all of
    them. `encoded` and `updated` count what was repaired beforehand. `seconds` is what it took, `notes` what was chosen
    on the user's behalf. Where texts are split, `documents` counts those of the source, and everything else passages.
    """

    collection: str
    location: str
    read: int = 0
    rejected: int = 0
    points: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0
    extra: int = 0
    duplicates: int = 0
    text: int = 0
    payload: int = 0
    no_vector: int = 0
    vectors: int = 0
    sampled: int = 0
    lowest_cosine: float | None = None
    extra_allowed: bool = False
    seconds: float = 0.0
    unchecked: tuple[str, ...] = ()
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    report_file: str | None = None
    notes: tuple[str, ...] = ()
    encoded: int = 0
    updated: int = 0
    documents: int | None = None
    damaged: tuple[str, ...] = ()

    def count(self, difference: Difference) -> int:
        """Ids that differ in this way."""
        count: int = getattr(self, difference.attribute)
        return count

    @property
    def differences(self) -> int:
        """The number of ids that differ from what they should be."""
        found = sum(self.count(each) for each in Difference)
        return found - self.extra if self.extra_allowed else found

    @property
    def equal(self) -> bool:
        """Whether everything was checked and nothing differs."""
        return not self.differences and not self.unchecked and not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {**asdict(self), "differences": self.differences, "equal": self.equal}

    def _repr_html_(self) -> str:
        """For notebooks."""
        values = {**self.to_dict(), "points": ", ".join(f"{at} {n:,}".strip() for at, n in self.points.items())}
        values["examples"] = "; ".join(f"{kind}: {', '.join(ids)}" for kind, ids in self.examples.items())
        return facts(
            "VerifyReport",
            {name: values[name] for name in values if name not in ("unchecked", "damaged", "notes")},
            after=(*self.damaged, *self.unchecked, *self.notes),
        )
