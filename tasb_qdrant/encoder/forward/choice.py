"""Which forward pass to use: the fast one if there is one for the model and device, else the reference."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasb_qdrant.encoder.hardware import Hardware, has_fast_bf16
from tasb_qdrant.encoder.model.config import ModelConfig
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.encoder.model.layout import Layout
from tasb_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from tasb_qdrant.encoder.forward.encoder_weights import EncoderWeights
    from tasb_qdrant.encoder.forward.protocol import Forward

FORWARDS: Final = ("auto", "fast", "reference")


def check_forward(forward: str) -> None:
    """Raise SettingsError for a name that isn't one of FORWARDS."""
    if forward not in FORWARDS:
        raise SettingsError(f"no forward pass {forward!r}; there are {', '.join(FORWARDS)}")


def build_forward(
    forward: str,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    layout: Layout,
    hardware: Hardware,
) -> tuple[Forward, tuple[str, ...]]:
    """The forward pass with these weights, and a note if the fast one can't be used.

    Raises CorruptModelError for weights that aren't the model's, SettingsError if the fast
    one can't be used but `forward` is "fast" or the precision int8, which has no other.
    """
    int8 = hardware.precision == "int8"
    if forward == "reference":
        if int8:
            raise SettingsError(
                "there is no reference forward pass in int8; set forward to 'auto', or precision to fp32"
            )
        return _reference(tensors, layout=layout, hardware=hardware), ()
    obstacle = _obstacle(config, hardware)
    if not obstacle and hardware.device == "cpu":
        return _fast_on_cpu(config, tensors, layout=layout, hardware=hardware)
    reference = None
    if not obstacle:
        from tasb_qdrant.encoder.forward.cuda import UnfitForwardError, checked_cuda_forward

        reference = _reference(tensors, layout=layout, hardware=hardware)
        try:
            fast = checked_cuda_forward(
                _weights(config, tensors, layout.transformer, copy=False),
                reference,
                pooling=layout.pooling,
                normalized=layout.normalized,
                device=hardware.device,
                precision=hardware.precision,
            )
        except UnfitForwardError as error:
            obstacle = str(error)
        else:
            return fast, fast.notes
    if int8:
        raise SettingsError(f"precision int8 needs the fast forward pass: {obstacle}; set precision to 'auto'")
    if forward == "fast":
        raise SettingsError(f"there is no fast forward pass here: {obstacle}; set forward to 'auto'")
    note = f"The forward pass is transformers', the slow one: {obstacle}."
    return reference or _reference(tensors, layout=layout, hardware=hardware), (note,)


def _reference(tensors: Mapping[str, Tensor], *, layout: Layout, hardware: Hardware) -> Forward:
    from tasb_qdrant.encoder.forward.reference import ReferenceForward, build_model

    return ReferenceForward(
        build_model(layout.transformer, tensors),
        pooling=layout.pooling,
        normalized=layout.normalized,
        device=hardware.device,
        precision=hardware.precision,
    )


def _fast_on_cpu(
    config: ModelConfig, tensors: Mapping[str, Tensor], *, layout: Layout, hardware: Hardware
) -> tuple[Forward, tuple[str, ...]]:
    from tasb_qdrant.encoder.forward.cpu import FastForward

    precision = hardware.precision
    floats = _beside_int8() if precision == "int8" else precision
    weights = _weights(config, tensors, layout.transformer, copy=floats == "fp32")
    if precision != "int8":
        return FastForward(weights, pooling=layout.pooling, normalized=layout.normalized, precision=floats), ()
    from tasb_qdrant.encoder.forward.calibration import calibration_texts
    from tasb_qdrant.encoder.forward.int8 import int8_forward
    from tasb_qdrant.encoder.tokenize.files import load_tokenization

    return int8_forward(
        weights,
        calibration_texts(load_tokenization(layout, config), prompt=layout.passage_prompt),
        pooling=layout.pooling,
        normalized=layout.normalized,
        precision=floats,
    )


def _beside_int8() -> str:
    """The precision of everything other than products with weights."""
    import torch

    return "bf16" if has_fast_bf16() and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


def _weights(config: ModelConfig, tensors: Mapping[str, Tensor], folder: Path, *, copy: bool) -> EncoderWeights:
    """Directly from the tensors if model and tensors are plain, else from the model that transformers builds from
    them, or refuses to: it knows the names that weights used to have."""
    from tasb_qdrant.encoder.forward.encoder_weights import read_weights

    if config.plain:
        with suppress(UnusualModelError):
            return read_weights(tensors, config, copy=copy)
    from tasb_qdrant.encoder.forward.reference import build_model

    return read_weights(build_model(folder, tensors).state_dict(), config, copy=copy)


def _obstacle(config: ModelConfig, hardware: Hardware) -> str:
    """Why the fast forward pass can't be used, or ""."""
    import torch

    from tasb_qdrant.encoder.forward.encoder_weights import why_unsupported

    if hardware.device != "cpu":
        return why_unsupported(config)
    if not torch._C._has_mkldnn or torch.ops.mkldnn._is_mkldnn_acl_supported():
        return "this build of torch has no oneDNN for x86"
    if hardware.precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "this CPU has no instructions for bf16"
    return why_unsupported(config)
