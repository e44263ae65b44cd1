"""Which encoder a caller means: one that is loaded, or where to load it from and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tasb_qdrant.encoder.load import load_encoder
from tasb_qdrant.encoder.model.resolve import TAS_B, named_by
from tasb_qdrant.encoder.protocol import Encoder
from tasb_qdrant.errors import HubUnreachableError, ModelNotFoundError
from tasb_qdrant.records import ModelContract


class EncoderOptions(TypedDict, total=False):
    """Which encoder, and where it runs. With a loaded `encoder` none of the others is used."""

    model: str | Path | None
    """"tas-b", "minilm" (the extra `demo`), the id of a model on the Hugging Face hub, or a folder; None is the
    collection's own model."""

    revision: str | None
    """A branch, tag or commit of the hub's repository."""

    allow_pickle: bool
    """Load pickle weights where there are no safetensors, as tensors alone."""

    device: str
    """auto, cpu, cuda, cuda:N, or a list with a worker process for each: "cuda:0,cuda:1"."""

    precision: str
    """auto, fp32, bf16, fp16 or int8."""

    normalize: bool | None
    """Vectors of length 1, or as they are; None is as the collection has them, else as the model's files say."""

    dim: int | None
    """Keep so many of the first numbers of each vector, for models trained for it (Matryoshka); None as above."""

    query_prompt: str | None
    """What is put before each query, "" for nothing; None as above."""

    passage_prompt: str | None
    """What is put before each passage, "" for nothing; None as above."""

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
    normalize: bool | None = None
    dim: int | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    encoder: Encoder | None = None

    def load(self, contract: ModelContract | None = None) -> Encoder:
        """The encoder that was chosen, else the one that made the vectors of a `contract`, else TAS-B. What wasn't
        chosen of its vectors is as the contract has it, too.

        Raises what `load_encoder` does.
        """
        if self.encoder is not None:
            return self.encoder
        if self.model is not None or contract is None:
            return self._loaded(TAS_B if self.model is None else self.model, self.revision, contract)
        model, revision = named_by(contract, self.revision)
        try:
            return self._loaded(model, revision, contract)
        except (ModelNotFoundError, HubUnreachableError) as error:
            raise type(error)(
                f"the model that made the collection's vectors, {model}, can't be loaded: {error}. "
                "If it is elsewhere now, name it with --model"
            ) from error

    def _loaded(self, model: str | Path, revision: str | None, contract: ModelContract | None) -> Encoder:
        return load_encoder(
            model,
            revision=revision,
            allow_pickle=self.allow_pickle,
            device=self.device,
            precision=self.precision,
            normalize=self.normalize,
            dim=self.dim,
            query_prompt=self.query_prompt,
            passage_prompt=self.passage_prompt,
            contract=contract,
        )
