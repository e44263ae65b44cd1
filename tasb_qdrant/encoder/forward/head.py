"""What happens to pooled vectors where normalising isn't all: Dense and LayerNorm modules, and a smaller dimension.

It takes a thousandth of the transformer's time, so it is done on the CPU in float32, whatever the model's precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasb_qdrant.encoder.forward.protocol import Forward, Pending, PipelinedForward
from tasb_qdrant.encoder.model.chain import Dense, LayerNorm, Normalize, Step
from tasb_qdrant.encoder.model.layout import Layout
from tasb_qdrant.encoder.protocol import TokenBatch
from tasb_qdrant.errors import CorruptModelError

if TYPE_CHECKING:
    from torch import Tensor

_ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
}


class Head:
    """Pooled vectors to those of the model."""

    def __init__(self, stages: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self._stages = tuple(stages)

    def __call__(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n, the model's dim) from (n, pooled dim)."""
        with torch.inference_mode():
            vectors = torch.from_numpy(pooled)
            for stage in self._stages:
                vectors = stage(vectors)
            result: NDArray[np.float32] = np.ascontiguousarray(vectors.numpy(), dtype=np.float32)
        return result


class HeadedForward:
    """A forward pass that ends with a head."""

    def __init__(self, forward: Forward, head: Head) -> None:
        self._forward = forward
        self._head = head

    def __call__(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        return self._head(self._forward(texts))


@dataclass(frozen=True, slots=True, eq=False)
class _HeadedPending:
    pending: Pending
    head: Head

    def result(self) -> NDArray[np.float32]:
        return self.head(self.pending.result())


class HeadedPipelinedForward:
    """The same for a forward pass that doesn't wait."""

    def __init__(self, forward: PipelinedForward, head: Head) -> None:
        self._forward = forward
        self._head = head

    def submit(self, tokens: TokenBatch) -> Pending:
        return _HeadedPending(self._forward.submit(tokens), self._head)


def with_head(
    forward: Forward | PipelinedForward, layout: Layout, weights: Sequence[Mapping[str, Tensor]]
) -> Forward | PipelinedForward:
    """`forward`, which gives pooled vectors, followed by the layout's steps, whose `weights` are in their order.

    Raises CorruptModelError for weights that aren't the steps'.
    """
    if layout.ends_with_pooling:
        return forward
    stages = [_stage(step, tensors) for step, tensors in zip(layout.steps, weights, strict=True)]
    if layout.dim is not None:
        kept = layout.dim
        stages.append(lambda vectors: vectors[:, :kept])
    if layout.normalized:
        stages.append(_normalize)
    head = Head(stages)
    if isinstance(forward, PipelinedForward):
        return HeadedPipelinedForward(forward, head)
    return HeadedForward(forward, head)


def _stage(step: Step, tensors: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    if isinstance(step, Normalize):
        return _normalize
    dense = isinstance(step, Dense)
    found = {name.removeprefix("linear." if dense else "norm."): tensor for name, tensor in tensors.items()}
    if {name: tuple(tensor.shape) for name, tensor in found.items()} != _shapes(step):  # before they are allocated
        raise CorruptModelError(
            f"the weights in {step.folder} don't fit the {step} module that its config.json describes; "
            "get the model again"
        )
    module: nn.Module
    if isinstance(step, Dense):
        module, after = nn.Linear(step.inputs, step.outputs, bias=step.bias), _ACTIVATIONS[step.activation]()
    else:
        module, after = nn.LayerNorm(step.dim), nn.Identity()
    module.load_state_dict({name: tensor.float() for name, tensor in found.items()})
    return nn.Sequential(module, after).eval()


def _shapes(step: Dense | LayerNorm) -> dict[str, tuple[int, ...]]:
    """Of the weights that a module has."""
    if isinstance(step, LayerNorm):
        return {"weight": (step.dim,), "bias": (step.dim,)}
    return {"weight": (step.outputs, step.inputs), **({"bias": (step.outputs,)} if step.bias else {})}


def _normalize(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=1)
