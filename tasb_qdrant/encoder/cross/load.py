"""From a model's name to a cross-encoder, with a note of every choice along the way."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.cross.encoder import CrossEncoder, CrossEncoderIdentity
from tasb_qdrant.encoder.cross.layout import CLASSIFIER, read_classifier_layout
from tasb_qdrant.encoder.devices import read_devices
from tasb_qdrant.encoder.hardware import check_names, choose_hardware, default_batch_tokens
from tasb_qdrant.encoder.model.bounds import check_weights
from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT
from tasb_qdrant.encoder.model.resolve import TAS_B, resolve_model
from tasb_qdrant.encoder.model.weights import find_weights, hashing, read_tensors
from tasb_qdrant.encoder.threads import begin_threads, spin_less
from tasb_qdrant.errors import DeviceError, ModelError, SettingsError

PRECISIONS: Final = ("fp32", "bf16", "fp16")

ASSUMED_LENGTH: Final = 512
"""Tokens of query and passage if the model doesn't say how many it reads: what such models are trained on."""


def load_cross_encoder(
    model: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    revision: str | None = None,
    batch_tokens: int | None = None,
    hub_timeout: float = HUB_TIMEOUT,
) -> CrossEncoder:
    """A cross-encoder from `model`, a hub id (at `revision`) or a folder: any sequence classifier that transformers
    knows, with one label, whose logit is the score, or with two, the second meaning relevant: its logit minus the
    first's.

    `device` is auto, cpu, cuda or cuda:N; `precision` is auto, fp32, bf16 or fp16. `batch_tokens` limits the tokens
    scored at once, padding included; `hub_timeout` the seconds to wait for the hub's first answer (not for a
    download). Weights must be safetensors, and the model's own code never runs. `notes` say what was chosen.

    Raises ModelNotFoundError, HubUnreachableError, UnsafeWeightsError, CorruptModelError, DeviceError,
    ModelError for a model that isn't a cross-encoder, SettingsError.
    """
    spin_less()  # before torch is imported
    begin_threads()
    _check_options(model, device, precision, batch_tokens)
    source = resolve_model(model, revision=revision, allow_pickle=False, hub_timeout=hub_timeout, kind=CLASSIFIER)
    layout = read_classifier_layout(source.folder)
    files = find_weights(layout.folder, allow_pickle=False, pickle_option=False)
    check_weights(layout.folder, files)
    with hashing(files.files) as sha256:  # while torch and transformers, which take longer, are imported
        hardware = choose_hardware(device, precision)

        from tasb_qdrant.encoder.cross import classifier
        from tasb_qdrant.encoder.cross.pairs import PairTokenization
        from tasb_qdrant.encoder.tokenize.files import check_vocabulary, general_tokenizer

        weights = sha256()
    tensors, _ = read_tensors(files, sha256=weights)
    built = classifier.build_classifier(layout, tensors)
    own = general_tokenizer(layout.folder)
    check_vocabulary(own.backend, layout.folder, embedded=classifier.embedded(built))
    length = classifier.read_length(layout, own, built)
    max_length = length or ASSUMED_LENGTH
    notes = [*source.notes, *layout.notes, *hardware.notes, classifier.label_note(built.config)]
    if length is None:
        notes.append(f"Pairs are cut to {ASSUMED_LENGTH} tokens: the model doesn't say how many it reads.")
    return CrossEncoder(
        identity=CrossEncoderIdentity(source.id, weights, source.commit, hardware.precision, max_length),
        device=hardware.device,
        notes=notes,
        tokenization=PairTokenization(own.backend, max_length=max_length),
        forward=classifier.ClassifierForward(built, own, device=hardware.device, precision=hardware.precision),
        batch_tokens=batch_tokens or default_batch_tokens(hardware.device),
    )


def _check_options(model: str | Path, device: str, precision: str, batch_tokens: int | None) -> None:
    """Refuse invalid options before the hub is asked or anything imported."""
    check_names(device, precision)
    if len(read_devices(device)) > 1:
        raise DeviceError(f"a cross-encoder runs on one device, found {device}; name one of them")
    if precision not in ("auto", *PRECISIONS):
        raise DeviceError(f"a cross-encoder has no precision {precision}; give auto, {', '.join(PRECISIONS)}")
    if batch_tokens is not None and batch_tokens < 1:
        raise SettingsError(f"batch_tokens must be at least 1, found {batch_tokens}")
    if model == TAS_B:
        raise ModelError(
            f"{TAS_B} gives vectors and is not a cross-encoder; choose one, such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )
