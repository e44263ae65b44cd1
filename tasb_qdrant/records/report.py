"""What a run of `ingest` did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasb_qdrant.records.html import facts
from tasb_qdrant.records.verification import VerifyReport


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run of `ingest` did in the `collection` at `location` (a url or a folder) with the `model` on `device` in
    `precision`. Every passage `read` is `stored`, updated, skipped or rejected: they add up.

    `stored` counts passages that were encoded: `new` ones, and those that `replaced` a stored one with another text
    (in an overwriting run, with any). `updated` counts those whose payload alone was new and whose vectors stayed;
    `skipped` is for the unchanged: already stored with the same content, and exact repeats within the source.
    `truncated` counts those longer than the model reads; `tokens` what the encoder saw. `points` is the collection's
    exact count afterwards, `points_expected` what it should be (None if that can't be told: by an overwriting run, or
    where other programs have stored or deleted passages meanwhile). `missing` counts the ids of the source's passages
    under which nothing is stored at the end, all of which were looked for, and `altered` the passages of a sample that
    hold something else than this run stored: another program deleted or replaced them, or an older copy of the
    collection was restored. `changed_sources` names the files that are not what they were when they were opened.
    `deleted` counts points that a `--sync` removed because its source didn't have them; `verification` is the result of
    the verification, if one was asked for. `rejects_file` names the inputs that were `rejected`. `refused_indexes` are
    payload indexes that were asked for and not made, since they would not hold what is stored, each with the reason.
    `device` and `precision` are "" if nothing had to be encoded. `notes` say what was chosen on the user's behalf,
    `warnings` what should be looked at, `proposed_indexes` which payload indexes would suit the fields.
    `loading_seconds` is the part of `seconds` in which passages moved from the source to the collection, `stages` the
    busy seconds of each stage, which overlap.

    Where texts are split, `documents` counts those of the source (None elsewhere), and everything else passages.

    `resumed` is empty, or says what the interrupted runs had done whose checkpoint this run resumed from: the
    `windows` they finished, the `points` in those, how many of them they `stored` and `skipped`, and the `tokens`
    they encoded. In this report those points count as skipped; only `truncated` includes theirs.
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
    refused_indexes: Mapping[str, str] = field(default_factory=dict)
    documents: int | None = None
    replaced: int = 0
    missing: int = 0
    altered: int = 0
    changed_sources: tuple[str, ...] = ()
    verification: VerifyReport | None = None

    @property
    def new(self) -> int:
        """Passages stored under ids that the collection didn't have."""
        return self.stored - self.replaced

    @property
    def verified(self) -> bool:
        """Whether the collection holds what it should: every passage of the source, as many points as it must, a sample
        unaltered, of files that did not change; and whether any verification found it equal."""
        counted = self.points_expected is None or self.points == self.points_expected
        whole = counted and not self.missing and not self.altered and not self.changed_sources
        return whole and (self.verification is None or self.verification.equal)

    @property
    def passages_per_second(self) -> float:
        """Passages stored per second of loading, which excludes opening the model and building the index."""
        return self.stored / self.loading_seconds if self.loading_seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded per second of loading."""
        return self.tokens / self.loading_seconds if self.loading_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As printed by --json."""
        return {
            **asdict(self),
            "verification": None if self.verification is None else self.verification.to_dict(),
            "new": self.new,
            "verified": self.verified,
            "passages_per_second": round(self.passages_per_second, 1),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }

    def _repr_html_(self) -> str:
        """For notebooks."""
        listed = ("notes", "warnings", "stages", "verification", "proposed_indexes", "resumed", "loading_seconds")
        values = {name: value for name, value in self.to_dict().items() if name not in listed}
        values["to filter fast, index"] = ", ".join(f"{field}:{kind}" for field, kind in self.proposed_indexes.items())
        after = (*self.warnings, *self.notes)
        shown = facts("IngestReport", values, after=after)
        return shown if self.verification is None else shown + self.verification._repr_html_()
