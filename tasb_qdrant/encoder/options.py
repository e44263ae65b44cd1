"""Which encoder a caller means: one that is loaded, or where to load it from and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from tasb_qdrant.encoder.hardware import check_names
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.encoder.load import known_contract, load_encoder
from tasb_qdrant.encoder.model.resolve import TAS_B, OtherWeightsError, named_by
from tasb_qdrant.encoder.protocol import Encoder
from tasb_qdrant.errors import ContractMismatchError, DeviceError, EncodingError, ModelError
from tasb_qdrant.records import ModelContract
from tasb_qdrant.version import package_version


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

    def load(
        self, contract: ModelContract | None = None, *, collection: str = "", location: str = "", apart: bool = False
    ) -> Encoder:
        """The encoder that was chosen, else the one that made the vectors of a `contract`, else TAS-B. What wasn't
        chosen of its vectors is as the contract has it, too. Errors about a model that the contract names say so, with
        the `collection`'s name. Whoever may write to a server chooses what its contracts name: of a `location` that is
        one, that is a model of the hub, and never a folder of this machine. `apart` is as load_encoder has it.

        Raises what `load_encoder` does, and ContractMismatchError for the contract's model, if the hub says that its
        weights are others now.
        """
        if self.encoder is not None:
            return self.encoder
        try:
            return self._chosen(contract, collection, location, apart=apart)
        except OtherWeightsError as error:
            stored, found = "" if contract is None else contract.weights[:12], error.sha256[:12]
            named = [("model", f"{error.repo} ({stored})", f"{error.repo} ({found})")]
            raise ContractMismatchError(collection, named) from error

    def _chosen(self, contract: ModelContract | None, collection: str, location: str, *, apart: bool) -> Encoder:
        if self.model is not None or contract is None:
            return self._loaded(TAS_B if self.model is None else self.model, self.revision, contract, apart=apart)
        hub_only = location.startswith(("http://", "https://"))
        model, revision = named_by(contract, self.revision, hub_only=hub_only)
        with _said_of(collection, model):
            return self._loaded(model, revision, contract, hub_only=hub_only, apart=apart)

    def lazily(
        self,
        contract: ModelContract,
        *,
        collection: str,
        check: Callable[[ModelContract], None],
        load: Callable[[], Encoder] | None = None,
        location: str = "",
    ) -> Encoder:
        """The encoder for a `collection` with this `contract`, which `load` (by default `self.load`) loads when it
        first has something to encode.

        `check` is called with the contract of what was chosen, now, and with that of the encoder, once it is loaded;
        what it raises is raised. Raises what `load_encoder` does about a model that was chosen and can't be found.
        """
        if self.encoder is not None:
            check(self.encoder.contract)
            return self.encoder
        check_names(self.device, self.precision)
        known = self._known(contract)
        check(known)

        def loaded() -> Encoder:
            encoder = self.load(contract, collection=collection, location=location) if load is None else load()
            check(encoder.contract)
            return encoder

        return LazyEncoder(known, loaded)

    def _known(self, contract: ModelContract) -> ModelContract:
        """The contract of the encoder, as far as it is known before it is loaded."""
        if self.model is not None:
            return known_contract(
                self.model,
                revision=self.revision,
                allow_pickle=self.allow_pickle,
                normalize=self.normalize,
                dim=self.dim,
                query_prompt=self.query_prompt,
                passage_prompt=self.passage_prompt,
                contract=contract,
            )
        wished: dict[str, Any] = {
            "normalized": self.normalize,
            "dim": self.dim,
            "query_prompt": self.query_prompt,
            "passage_prompt": self.passage_prompt,
        }
        given = {name: value for name, value in wished.items() if value is not None}
        return replace(contract, precision="", version=package_version(), **given)

    def _loaded(
        self,
        model: str | Path,
        revision: str | None,
        contract: ModelContract | None,
        *,
        apart: bool,
        hub_only: bool = False,
    ) -> Encoder:
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
            hub_only=hub_only,
            apart=apart,
        )


@contextmanager
def _said_of(collection: str, model: str) -> Iterator[None]:
    """Errors about the model name the collection that it comes from: the person has not named it."""
    try:
        yield
    except (DeviceError, EncodingError, OtherWeightsError):
        raise  # about the machine, or said by the caller
    except ModelError as error:
        whose = f"the collection {collection!r} was" if collection else "the collection's vectors were"
        raise type(error)(
            f"{whose} made with the model {model}, which can't be loaded: {error}. If it is elsewhere now, name it "
            "with --model"
        ) from error
