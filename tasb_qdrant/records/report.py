"""What a run of `ingest` did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasb_qdrant.records.verification import VerifyReport


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run of `ingest` did. Every passage read is stored, updated, skipped or rejected: they add up.

    `updated` counts those of which only the payload was new, and whose vectors stayed; `skipped` those
    already stored with the same content and those repeated word for word in the source; `truncated` those
    longer than the model reads; `tokens` what the encoder saw. `points` is the collection's exact count
    afterwards, `points_expected` what it must be (None where an overwriting run
    can't tell). `deleted` counts points that the source of a synchronisation didn't have; `verification` is what
    was found afterwards, where that was asked for. `notes` say what was chosen on the person's behalf.
    `loading_seconds` are those of `seconds` in which passages went from the source to the collection, `stages`
    the busy seconds of each stage; they overlap.

    `resumed` is empty, or what the interrupted runs had done from whose checkpoint this one went on: their
    `windows` with so many `points`, of which they `stored` some, `skipped` the others, and encoded `tokens`.
    Here these points count as skipped; only `truncated` counts theirs, too.
    """

    collection: str
    location: str
    model: str
    device: str
    precision: str
    read: int
    stored: int
    updated: int
    skipped: int
    rejected: int
    truncated: int
    tokens: int
    points: int
    points_expected: int | None
    seconds: float
    loading_seconds: float
    stages: Mapping[str, float]
    rejects_file: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    proposed_indexes: Mapping[str, str] = field(default_factory=dict)
    resumed: Mapping[str, int] = field(default_factory=dict)
    deleted: int = 0
    verification: VerifyReport | None = None

    @property
    def verified(self) -> bool:
        """Whether the collection holds just as many points as it should after this run, and was found equal."""
        counted = self.points_expected is None or self.points == self.points_expected
        return counted and (self.verification is None or self.verification.equal)

    @property
    def passages_per_second(self) -> float:
        """Stored passages a second of loading: opening the model and building the index don't count."""
        return self.stored / self.loading_seconds if self.loading_seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded a second of loading."""
        return self.tokens / self.loading_seconds if self.loading_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            **asdict(self),
            "verification": None if self.verification is None else self.verification.to_dict(),
            "verified": self.verified,
            "passages_per_second": round(self.passages_per_second, 1),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }
