"""From a model's name to an encoder, with a note of every choice along the way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.devices import choose_devices, single_gpu
from tasb_qdrant.encoder.forward.choice import check_forward
from tasb_qdrant.encoder.hardware import check_names
from tasb_qdrant.encoder.model.files import find_model
from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT
from tasb_qdrant.encoder.model.resolve import TAS_B
from tasb_qdrant.encoder.model.wishes import Wishes
from tasb_qdrant.encoder.protocol import Encoder
from tasb_qdrant.encoder.single import contract_of, load_single
from tasb_qdrant.encoder.threads import spin_less
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.printable import logger
from tasb_qdrant.records import ModelContract

log: Final = logger(__name__)


def load_encoder(
    model: str | Path = TAS_B,
    *,
    device: str = "auto",
    precision: str = "auto",
    revision: str | None = None,
    allow_pickle: bool = False,
    normalize: bool | None = None,
    dim: int | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    contract: ModelContract | None = None,
    batch_tokens: int | None = None,
    forward: str = "auto",
    apart: bool = False,
    hub_timeout: float = HUB_TIMEOUT,
    hub_only: bool = False,
) -> Encoder:
    """An encoder for `model`: "tas-b", "minilm", a hub id (at `revision`, a branch, tag or commit), or a folder. Its
    `notes` say what was chosen.

    `device` is auto, cpu, cuda, cuda:N, or a list ("cuda:0,cuda:1", "cpu,cpu"), which gets a worker
    process for each, as does cuda if there are several GPUs; `precision` is auto, fp32, bf16, fp16 or int8.
    `batch_tokens` limits the tokens encoded at once, `hub_timeout` the seconds to wait for the hub's first
    answer (not for a download).
    With `apart`, a single GPU gets a worker process, too: feeding it then shares no interpreter with what else the
    program does.
    `forward` is auto, fast or reference: the last is transformers' own, slow, for comparison.
    Pickle weights load only with `allow_pickle`, and then as tensors alone.

    What is to be downloaded is logged before, by the logger `tasb_qdrant.downloads`. Weights of the model that a
    `contract` names, which the hub says have another hash, are not. With `hub_only` the model is never a folder here.

    `normalize`, `dim` (the first so many numbers of each vector), `query_prompt` and `passage_prompt` replace what the
    model's files say; those that are None are as a `contract` has them, where one is given.

    Raises ModelNotFoundError, HubUnreachableError, UnsafeWeightsError, CorruptModelError, DeviceError,
    ModelError for an unsupported kind of model, SettingsError.
    """
    began = time.monotonic()
    spin_less()  # before torch is imported
    check_names(device, precision)
    check_forward(forward)
    if batch_tokens is not None and batch_tokens < 1:
        raise SettingsError(f"batch_tokens must be at least 1, found {batch_tokens}")
    wishes = Wishes(normalize, dim, query_prompt, passage_prompt)
    wishes.check()
    wishes = wishes if contract is None else wishes.completed(contract)
    log.debug("loading the model %s", model)
    found = find_model(
        model,
        revision=revision,
        allow_pickle=allow_pickle,
        hub_timeout=hub_timeout,
        wishes=wishes,
        sha256=contract.weights if contract is not None and contract.model == model else "",
        hub_only=hub_only,
    )
    devices = choose_devices(device)
    if apart and (gpu := single_gpu(devices)) is not None:
        devices = (gpu,)
    else:
        apart = False
    if len(devices) == 1 and not apart:
        encoder: Encoder = load_single(
            found, device=device, precision=precision, forward=forward, batch_tokens=batch_tokens
        )
    else:
        from tasb_qdrant.encoder.workers.load import load_parallel

        encoder = load_parallel(
            found,
            devices=devices,
            precision=precision,
            forward=forward,
            batch_tokens=batch_tokens,
            allow_pickle=allow_pickle,
            wishes=wishes,
        )
    made = encoder.contract
    seconds = time.monotonic() - began
    log.info("loaded %s on %s in %s, in %.1f s", made.model, encoder.device, made.precision, seconds)
    for sentence in encoder.notes:
        log.info("%s", sentence)
    return encoder


def known_contract(
    model: str | Path,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    normalize: bool | None = None,
    dim: int | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    contract: ModelContract | None = None,
) -> ModelContract:
    """The contract of the encoder that `load_encoder` would return, from its files alone; its precision is "", as that
    depends on the hardware. Of a plain BERT or DistilBERT it is read without torch and transformers.

    Raises what `load_encoder` does.
    """
    wishes = Wishes(normalize, dim, query_prompt, passage_prompt)
    wishes.check()
    wishes = wishes if contract is None else wishes.completed(contract)
    return contract_of(find_model(model, revision=revision, allow_pickle=allow_pickle, wishes=wishes))
