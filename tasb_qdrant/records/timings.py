"""Where the time of a search went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of one call: in `encode` its texts became vectors (and a cross-encoder read them), in `store` the
    collection answered, retries included, and `rest` is what is left. Hits of one `search_batch` share them."""

    encode: float
    store: float
    rest: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.encode + self.store + self.rest

    def to_dict(self) -> dict[str, float]:
        """As plain JSON, in seconds."""
        return {"encode": self.encode, "store": self.store, "rest": self.rest, "total": self.total}

    def __str__(self) -> str:
        parts = (("encode", self.encode), ("store", self.store), ("rest", self.rest))
        return ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in parts)
