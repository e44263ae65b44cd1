"""From a model's name to an encoder, every choice along the way noted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasb_qdrant.encoder.devices import choose_devices
from tasb_qdrant.encoder.forward.choice import build_forward, check_forward
from tasb_qdrant.encoder.hardware import Hardware, check_names, choose_hardware
from tasb_qdrant.encoder.model.config import ModelConfig, read_config
from tasb_qdrant.encoder.model.layout import Layout, read_layout
from tasb_qdrant.encoder.model.resolve import TAS_B, ModelSource, resolve_model
from tasb_qdrant.encoder.model.weights import find_weights, hashing, read_tensors
from tasb_qdrant.encoder.protocol import Encoder
from tasb_qdrant.encoder.threads import spin_less
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.records import ModelContract

if TYPE_CHECKING:
    from tasb_qdrant.encoder.batching import Tokenizes
    from tasb_qdrant.encoder.tokenize.tokens import Tokenization

CPU_BATCH_TOKENS: Final = 2048
"""For each thread of torch; on 1 and 2 threads, batches of twice and half as many tokens were 5% to 10% slower."""

CUDA_BATCH_TOKENS: Final = 65_536

HUB_TIMEOUT: Final = 8.0
"""Seconds to wait for the hub: with the time to import and start, an unreachable one shows within 10."""


def load_encoder(
    model: str | Path = TAS_B,
    *,
    device: str = "auto",
    precision: str = "auto",
    revision: str | None = None,
    allow_pickle: bool = False,
    batch_tokens: int | None = None,
    forward: str = "auto",
    hub_timeout: float = HUB_TIMEOUT,
) -> Encoder:
    """An encoder for `model`: "tas-b", a hub id, or a folder. Its `notes` say what was chosen.

    `device` is auto, cpu, cuda, cuda:N, or a list ("cuda:0,cuda:1", "cpu,cpu") with a worker process for
    each, as cuda and auto have where there are several GPUs; `precision` is auto, fp32, bf16, fp16 or int8.
    `batch_tokens` bounds the tokens encoded at once, `hub_timeout` the seconds to wait for the hub's first
    answer (not a download).
    `forward` is auto, fast or reference: the last is transformers' own, slow, to compare with.
    Pickle weights load only with `allow_pickle`, and then as tensors alone.

    Raises ModelNotFoundError, HubUnreachableError, UnsafeWeightsError, CorruptModelError, DeviceError,
    ModelError for a model of a kind that isn't supported, SettingsError.
    """
    spin_less()  # before torch is imported
    check_names(device, precision)
    check_forward(forward)
    if batch_tokens is not None and batch_tokens < 1:
        raise SettingsError(f"batch_tokens must be at least 1, found {batch_tokens}")
    source = resolve_model(model, revision=revision, allow_pickle=allow_pickle, hub_timeout=hub_timeout)
    layout = read_layout(source.folder)
    files = find_weights(layout.transformer, allow_pickle=allow_pickle)
    with hashing(files.files) as sha256:  # while torch, which takes longer, is imported
        if len(devices := choose_devices(device)) > 1:
            from tasb_qdrant.encoder.workers.load import load_parallel

            return load_parallel(
                source,
                layout,
                devices=devices,
                asked=device,
                precision=precision,
                forward=forward,
                batch_tokens=batch_tokens,
                allow_pickle=allow_pickle,
            )
        hardware = choose_hardware(device, precision)

        # torch takes a second to import; whoever only imports this package doesn't wait.
        from tasb_qdrant.encoder.batching import BatchedEncoder
        from tasb_qdrant.encoder.tokenize.files import load_tokenization

        weights = sha256()
    tensors, weight_notes = read_tensors(files, sha256=weights)
    config = read_config(layout.transformer)
    tokenization = load_tokenization(layout, config)
    contract = _contract(source, layout, config, weights=weights, tokenization=tokenization, hardware=hardware)
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
    """In this thread, or in processes where a GPU would wait for it."""
    if device == "cpu":
        return tokenization
    from tasb_qdrant.encoder.workers.tokenizing import SharedTokenization, processes_for

    return SharedTokenization(tokenization, processes=processes_for(1))


def _contract(
    source: ModelSource,
    layout: Layout,
    config: ModelConfig,
    *,
    weights: str,
    tokenization: Tokenization,
    hardware: Hardware,
) -> ModelContract:
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


def default_batch_tokens(device: str) -> int:
    """How many tokens, padding included, suit one forward pass on `device`."""
    import torch

    return CPU_BATCH_TOKENS * torch.get_num_threads() if device == "cpu" else CUDA_BATCH_TOKENS


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tasb-qdrant")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


def named_by(contract: ModelContract, revision: str | None) -> tuple[str, str | None]:
    """The model that a contract names, and its revision: the recorded commit, unless another is asked for or a
    folder has the name."""
    if revision is None and contract.revision and not os.path.isdir(contract.model):
        revision = contract.revision
    return contract.model, revision
