"""What made the vectors of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelContract:
    """What made the vectors of a collection; stored with it, checked by every later writer and reader.

    `weights` is the sha256 of the weights file, `precision` the arithmetic of the forward pass
    (fp32, bf16, fp16 or int8; early collections may say fp8), `version` the package version that wrote it.
    `pooling` (cls or mean), whether vectors are `normalized`, their `distance` and `dim`, and what is put before texts
    (`query_prompt`, `passage_prompt`) are the model's.
    `revision` is the commit of the hub repository `model`; "" for a folder, and in contracts written before it
    was recorded. `truncation_side` is the end that texts longer than `max_length` lose: right, or left.
    """

    model: str
    weights: str
    pooling: str
    normalized: bool
    distance: str
    dim: int
    max_length: int
    precision: str
    query_prompt: str
    passage_prompt: str
    version: str
    revision: str = ""
    truncation_side: str = "right"

    def differences(self, other: ModelContract) -> list[tuple[str, object, object]]:
        """(what, mine, other's) for every difference that makes vectors incomparable.

        The model's name and revision are not compared: a folder and a hub id, or several commits, may hold the
        same weights. Neither is the precision: fp32, bf16 and fp16 vectors of one model agree to a cosine of
        0.999 or better, and int8 and fp8 vectors agree with them to 0.99.
        """
        compared = (
            "weights",
            "pooling",
            "normalized",
            "distance",
            "dim",
            "max_length",
            "query_prompt",
            "passage_prompt",
            "truncation_side",
        )
        found: list[tuple[str, object, object]] = []
        for name in compared:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            if name == "weights":
                found.append(("model", f"{self.model} ({mine[:12]})", f"{other.model} ({theirs[:12]})"))
            else:
                found.append((name.replace("_", " "), mine, theirs))
        return found

    def to_dict(self) -> dict[str, Any]:
        """As stored in the collection's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ModelContract:
        """The inverse of `to_dict`, also of an earlier version's; unknown keys (of a later one) are ignored.

        Raises KeyError.
        """
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored or f.default is MISSING})
