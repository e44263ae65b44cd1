"""Which forward pass: the fast one where there is one for the model and the device, else the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasb_qdrant.encoder.hardware import Hardware
from tasb_qdrant.encoder.layout import Pooling
from tasb_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from tasb_qdrant.encoder.batching import Forward

FORWARDS: Final = ("auto", "fast", "reference")


def check_forward(forward: str) -> None:
    """Raise SettingsError for a name that isn't one of FORWARDS."""
    if forward not in FORWARDS:
        raise SettingsError(f"no forward pass {forward!r}; there are {', '.join(FORWARDS)}")


def build_forward(
    forward: str, model: PreTrainedModel, *, pooling: Pooling, normalized: bool, hardware: Hardware
) -> tuple[Forward, tuple[str, ...]]:
    """The forward pass around `model`, and a note where the fast one was wanted and can't be had.

    Raises SettingsError if `forward` is "fast" and can't be.
    """
    from tasb_qdrant.encoder.reference import ReferenceForward

    obstacle = "" if forward == "reference" else _obstacle(model.config, hardware)
    if obstacle and forward == "fast":
        raise SettingsError(f"there is no fast forward pass here: {obstacle}; set forward to 'auto'")
    if forward == "reference" or obstacle:
        reference = ReferenceForward(
            model, pooling=pooling, normalized=normalized, device=hardware.device, precision=hardware.precision
        )
        return reference, (f"The forward pass is transformers', the slow one: {obstacle}.",) if obstacle else ()

    from tasb_qdrant.encoder.fast_cpu import FastForward
    from tasb_qdrant.encoder.fast_weights import read_weights

    weights = read_weights(model)
    return FastForward(weights, pooling=pooling, normalized=normalized, precision=hardware.precision), ()


def _obstacle(config: PretrainedConfig, hardware: Hardware) -> str:
    """Why the fast forward pass can't be used, or ""."""
    import torch

    from tasb_qdrant.encoder.fast_weights import why_unsupported

    if hardware.device != "cpu":
        return f"the fast one is for CPUs, and the device is {hardware.device}"
    if not torch._C._has_mkldnn or torch.ops.mkldnn._is_mkldnn_acl_supported():
        return "this build of torch has no oneDNN for x86"
    if hardware.precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "this CPU has no instructions for bf16"
    return why_unsupported(config)
