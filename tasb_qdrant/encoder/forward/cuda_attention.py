"""Attention within each text of a packed batch: flash attention on a GPU, one text at a time on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

import torch
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from torch import Tensor

_LONGEST_HEAD: Final = 256
_OLDEST_GPU: Final = (8, 0)


@dataclass(frozen=True, slots=True)
class Spans:
    """Which queries and keys belong to each text: int32 (texts + 1,) each, where each text begins and the last one
    ends, and upper bounds on how many of them a text has."""

    queries: Tensor
    keys: Tensor
    most_queries: int
    most_keys: int


Attention = Callable[["Tensor", "Tensor", "Tensor", Spans], "Tensor"]
"""Queries, keys, values, (tokens, heads, head dim) each, to the output of attention, in the queries' shape."""


def why_no_attention(*, device: str, precision: str, head_dim: int) -> str:
    """What keeps `device` from flash attention with heads of `head_dim` dimensions, or ""."""
    if precision not in ("fp16", "bf16"):
        return f"flash attention computes in fp16 or bf16, and the precision is {precision}"
    if head_dim % 8 or head_dim > _LONGEST_HEAD:
        return f"flash attention needs heads of 8, 16, ... {_LONGEST_HEAD} dimensions, and the model's have {head_dim}"
    if find_spec("torch.nn.attention.varlen") is None:
        return f"torch {torch.__version__} has no attention for packed texts; torch 2.10 does"
    if torch.version.hip is not None:
        return f"{device} is not an NVIDIA GPU"
    capability = torch.cuda.get_device_capability(device)
    if capability < _OLDEST_GPU:
        return f"flash attention needs compute capability 8.0, and {device} has {'.'.join(map(str, capability))}"
    return ""


def attention_on(device: torch.device) -> Attention:
    """The attention for tensors on `device`. Raises ImportError if `why_no_attention` gives a reason."""
    return _each_text if device.type == "cpu" else _flash()


def _flash() -> Attention:
    from torch.nn.attention.varlen import varlen_attn

    def attend(queries: Tensor, keys: Tensor, values: Tensor, spans: Spans) -> Tensor:
        # By position and without options, which are what differs between versions of torch.
        attended = varlen_attn(queries, keys, values, spans.queries, spans.keys, spans.most_queries, spans.most_keys)
        return cast("Tensor", attended)

    return attend


def _each_text(queries: Tensor, keys: Tensor, values: Tensor, spans: Spans) -> Tensor:
    asked, known = (bounds.diff().tolist() for bounds in (spans.queries, spans.keys))
    texts = zip(torch.split(queries, asked), torch.split(keys, known), torch.split(values, known), strict=True)
    return torch.cat([_attended(*text) for text in texts])


def _attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    queries, keys, values = (part.transpose(0, 1) for part in (queries, keys, values))
    return scaled_dot_product_attention(queries, keys, values).transpose(0, 1)
