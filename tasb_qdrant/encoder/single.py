"""An encoder on one device, from a model's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasb_qdrant.encoder.forward.choice import build_forward
from tasb_qdrant.encoder.hardware import Hardware, choose_hardware, default_batch_tokens
from tasb_qdrant.encoder.model.config import ModelConfig, read_config
from tasb_qdrant.encoder.model.files import ModelFiles
from tasb_qdrant.encoder.model.weights import hashing, read_tensors
from tasb_qdrant.records import ModelContract

if TYPE_CHECKING:
    from tasb_qdrant.encoder.batching import BatchedEncoder, Tokenizes
    from tasb_qdrant.encoder.tokenize.tokens import Tokenization


def load_single(
    model: ModelFiles, *, device: str, precision: str, forward: str, batch_tokens: int | None
) -> BatchedEncoder:
    """An encoder on `device`: auto, cpu, cuda or cuda:N. The other options are those of load_encoder.

    Raises CorruptModelError, DeviceError, ModelError, SettingsError.
    """
    source, layout = model.source, model.layout
    with hashing(model.weights.files) as sha256:  # while torch, which takes longer, is imported
        hardware = choose_hardware(device, precision)

        # torch takes a second to import; whoever only imports this package doesn't wait.
        from tasb_qdrant.encoder.batching import BatchedEncoder
        from tasb_qdrant.encoder.tokenize.files import load_tokenization

        weights = sha256()
    tensors, weight_notes = read_tensors(model.weights, sha256=weights)
    config = read_config(layout.transformer)
    tokenization = load_tokenization(layout, config)
    contract = _contract(model, config, weights=weights, tokenization=tokenization, hardware=hardware)
    run, forward_notes = build_forward(forward, config, tensors, layout=layout, hardware=hardware)
    return BatchedEncoder(
        contract=contract,
        device=hardware.device,
        notes=(*source.notes, *layout.notes, *weight_notes, *hardware.notes, *forward_notes),
        tokenization=_tokenizing(tokenization, hardware.device),
        forward=run,
        batch_tokens=batch_tokens or default_batch_tokens(hardware.device),
    )


def _tokenizing(tokenization: Tokenization, device: str) -> Tokenizes:
    """Tokenise in this thread, or in processes if a GPU would otherwise wait for it."""
    if device == "cpu":
        return tokenization
    from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization, processes_for

    return SharedTokenization(tokenization, processes=processes_for(1))


def _contract(
    model: ModelFiles, config: ModelConfig, *, weights: str, tokenization: Tokenization, hardware: Hardware
) -> ModelContract:
    source, layout = model.source, model.layout
    return ModelContract(
        model=source.id,
        weights=weights,
        pooling=layout.pooling,
        normalized=layout.normalized,
        distance="Dot",
        dim=config.dim,
        max_length=tokenization.max_length,
        precision=hardware.precision,
        query_prompt=layout.query_prompt,
        passage_prompt=layout.passage_prompt,
        version=_version(),
        revision=source.commit,
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tasb-qdrant")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
