"""Which encoder a caller means: one that is loaded, or where to load it from and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tasb_qdrant.encoder.load import load_encoder
from tasb_qdrant.encoder.model.resolve import TAS_B, named_by
from tasb_qdrant.encoder.protocol import Encoder
from tasb_qdrant.records import ModelContract


class EncoderOptions(TypedDict, total=False):
    """Which encoder, and where it runs. With a loaded `encoder` none of the others is used."""

    model: str | Path | None
    """"tas-b", the id of a model on the Hugging Face hub, or a folder; None is the collection's own model."""

    revision: str | None
    """A branch, tag or commit of the hub's repository."""

    allow_pickle: bool
    """Load pickle weights where there are no safetensors, as tensors alone."""

    device: str
    """auto, cpu, cuda, cuda:N, or a list with a worker process for each: "cuda:0,cuda:1"."""

    precision: str
    """auto, fp32, bf16, fp16 or int8."""

    encoder: Encoder | None
    """One that is loaded already."""


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The same as a value, with the defaults."""

    model: str | Path | None = None
    revision: str | None = None
    allow_pickle: bool = False
    device: str = "auto"
    precision: str = "auto"
    encoder: Encoder | None = None

    def load(self, contract: ModelContract | None = None) -> Encoder:
        """The encoder that was chosen, else the one that made the vectors of a `contract`, else TAS-B.

        Raises what `load_encoder` does.
        """
        if self.encoder is not None:
            return self.encoder
        model, revision = self.model, self.revision
        if model is None and contract is not None:
            model, revision = named_by(contract, revision)
        return load_encoder(
            TAS_B if model is None else model,
            revision=revision,
            allow_pickle=self.allow_pickle,
            device=self.device,
            precision=self.precision,
        )
