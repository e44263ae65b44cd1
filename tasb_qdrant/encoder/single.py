"""An encoder on one device, from a model's files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasb_qdrant.encoder.forward.choice import build_forward
from tasb_qdrant.encoder.hardware import Hardware, choose_hardware, default_batch_tokens
from tasb_qdrant.encoder.model.adapter import merged
from tasb_qdrant.encoder.model.chain import final_dim
from tasb_qdrant.encoder.model.config import ModelConfig, read_config
from tasb_qdrant.encoder.model.files import ModelFiles
from tasb_qdrant.encoder.model.weights import hashing, read_tensors
from tasb_qdrant.encoder.model.wishes import with_dim
from tasb_qdrant.encoder.threads import begin_threads
from tasb_qdrant.records import ModelContract
from tasb_qdrant.version import package_version

if TYPE_CHECKING:
    from tasb_qdrant.encoder.batching import BatchedEncoder, Tokenizes
    from tasb_qdrant.encoder.forward.protocol import Forward, PipelinedForward
    from tasb_qdrant.encoder.tokenize.tokens import Tokenization


def load_single(
    model: ModelFiles, *, device: str, precision: str, forward: str, batch_tokens: int | None
) -> BatchedEncoder:
    """An encoder on `device`: auto, cpu, cuda or cuda:N. The other options are those of load_encoder.

    Raises CorruptModelError, DeviceError, ModelError, SettingsError; ForkedError in a process that was forked from one
    that has loaded a model.
    """
    begin_threads()
    with hashing(model.hashed) as sha256:  # while torch, which takes longer, is imported
        hardware = choose_hardware(device, precision)

        # torch takes a second to import; whoever only imports this package doesn't wait.
        from tasb_qdrant.encoder.batching import BatchedEncoder
        from tasb_qdrant.encoder.tokenize.files import load_tokenization

        weights = sha256()
    config = read_config(model.layout.transformer)
    model = replace(model, layout=with_dim(model.layout, config.dim))
    tokenization = load_tokenization(model.layout, config)
    contract = _contract(model, config, weights=weights, tokenization=tokenization, precision=hardware.precision)
    run, notes = _forward(model, config, sha256=weights, forward=forward, hardware=hardware)
    return BatchedEncoder(
        contract=contract,
        device=hardware.device,
        notes=(*model.source.notes, *model.layout.notes, *notes),
        tokenization=_tokenizing(tokenization, hardware.device),
        forward=run,
        batch_tokens=batch_tokens or default_batch_tokens(hardware.device),
    )


def contract_of(model: ModelFiles) -> ModelContract:
    """The contract of an encoder that `load_single` would return, with an empty precision: the hardware isn't chosen.

    Of a plain BERT or DistilBERT it is read without torch and transformers. Raises CorruptModelError, SettingsError.
    """
    from tasb_qdrant.encoder.tokenize.files import load_tokenization

    with hashing(model.hashed) as sha256:
        weights = sha256()
    config = read_config(model.layout.transformer)
    model = replace(model, layout=with_dim(model.layout, config.dim))
    tokenization = load_tokenization(model.layout, config)
    return _contract(model, config, weights=weights, tokenization=tokenization, precision="")


def _forward(
    model: ModelFiles, config: ModelConfig, *, sha256: str, forward: str, hardware: Hardware
) -> tuple[Forward | PipelinedForward, tuple[str, ...]]:
    """From token ids to the model's vectors, whatever its files are; and notes on weights, hardware and the choice."""
    layout = model.layout
    tensors, notes = read_tensors(model.weights, sha256=sha256)
    if model.adapter is not None and layout.adapter is not None:
        tensors = merged(tensors, read_tensors(model.adapter, sha256=sha256)[0], layout.adapter)
    # A forward pass normalises what it pools; where something comes between, the head does.
    pooling = layout if layout.ends_with_pooling else replace(layout, normalized=False)
    run, forward_notes = build_forward(forward, config, tensors, layout=pooling, hardware=hardware)
    notes = (*notes, *hardware.notes, *forward_notes)
    if layout.ends_with_pooling:
        return run, notes
    from tasb_qdrant.encoder.forward.head import with_head

    steps = [
        ({}, ()) if files is None else read_tensors(files, sha256=f"{sha256}-{number}")
        for number, files in enumerate(model.steps)
    ]
    headed = with_head(run, layout, [found for found, _ in steps])
    return headed, (*notes, *(note for _, step_notes in steps for note in step_notes))


def _tokenizing(tokenization: Tokenization, device: str) -> Tokenizes:
    """Tokenise in this thread, or in processes if a GPU would otherwise wait for it."""
    if device == "cpu":
        return tokenization
    from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization, processes_for

    return SharedTokenization(tokenization, processes=processes_for(1))


def _contract(
    model: ModelFiles, config: ModelConfig, *, weights: str, tokenization: Tokenization, precision: str
) -> ModelContract:
    source, layout = model.source, model.layout
    return ModelContract(
        model=source.id,
        weights=weights,
        pooling="+".join([layout.pooling, *map(str, layout.steps)]),
        normalized=layout.normalized,
        distance="Dot",
        dim=layout.dim or final_dim(layout.steps, config.dim, folder=layout.transformer),
        max_length=tokenization.max_length,
        precision=precision,
        query_prompt=layout.query_prompt,
        passage_prompt=layout.passage_prompt,
        version=package_version(),
        revision=source.commit,
        truncation_side="left" if tokenization.keep_end else "right",
    )
