"""What the versions of a server bring, as far as this package uses or notices it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import ServerTooOldError
from tasb_qdrant.filters import Filter, format_filter
from tasb_qdrant.filters.conditions import Prefix, Substring, leaves

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that servers have from a version on. `name` says what, for people; `instead` what to do without."""

    name: str
    since: Version
    instead: str = ""

    def require(self, version: Version, *, location: str, what: str) -> None:
        """Raises ServerTooOldError where the server lacks it; `what` is what was asked for."""
        if version < self.since:
            raise ServerTooOldError(
                f"{location}: {what} needs Qdrant {_short(self.since)} or later, this is {_whole(version)}; upgrade "
                f"the server{f', or {self.instead}' if self.instead else ''}"
            )


METADATA: Final = Feature("collections that say what made them", (1, 16, 0))
UPDATE_QUEUE: Final = Feature("an update queue that is waited for before stored passages are counted", (1, 17, 0))
PREVENT_UNOPTIMIZED: Final = Feature("searches that stay fast while the vector index is built", (1, 17, 1))
TURBO: Final = Feature("--quantization turbo4", (1, 18, 0), "choose int8 or binary")
EARLY_READS: Final = Feature("all acknowledged passages in reads right after a restart", (1, 18, 4))
QUOTAS: Final = Feature("quotas of memory and disk, which loads wait for", (1, 19, 0))
PREFIX: Final = Feature("prefix in filters", (1, 19, 0), "compare with whole values")
SUBSTRING: Final = Feature(
    "substring in filters", (1, 20, 0), "index the field as text and look for words with contains"
)

TEXT_SCORES: Final = Feature("searches by words over a text index, without --bm25", (1, 20, 0), "ingest with --bm25")

FEATURES: Final = (
    METADATA,
    UPDATE_QUEUE,
    PREVENT_UNOPTIMIZED,
    TURBO,
    EARLY_READS,
    QUOTAS,
    PREFIX,
    SUBSTRING,
    TEXT_SCORES,
)
"""Oldest first."""


def check_filter(where: Filter, version: Version, *, location: str) -> None:
    """Raises ServerTooOldError for conditions that this version doesn't have."""
    if version >= SUBSTRING.since:
        return
    for leaf in leaves(where):
        if (feature := _CONDITIONS.get(type(leaf))) is not None:
            feature.require(version, location=location, what=f"{format_filter(leaf)!r} in a filter")


_CONDITIONS: Final[dict[type[Filter], Feature]] = {Prefix: PREFIX, Substring: SUBSTRING}


def brought_by(version: Version) -> tuple[list[str], list[str]]:
    """What a server of this version has, and what it lacks, each with the version that brings it."""
    there = [feature.name for feature in FEATURES if version >= feature.since]
    missing = [f"{feature.name} ({_short(feature.since)})" for feature in FEATURES if version < feature.since]
    return there, missing


def _short(version: Version) -> str:
    return ".".join(map(str, version[: 2 if not version[2] else 3]))


def _whole(version: Version) -> str:
    return ".".join(map(str, version))
