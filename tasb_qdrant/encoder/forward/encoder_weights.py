"""The weights of BERT and DistilBERT under one set of names, which is all that the two differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from tasb_qdrant.encoder.model.config import ModelConfig
from tasb_qdrant.encoder.model.entries import UnusualModelError
from tasb_qdrant.encoder.model.weights import is_unused

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS: Final = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Affine:
    """float32 `weight` (outputs, inputs) and `bias` (outputs,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Norm:
    """A LayerNorm over the last axis: float32 `weight` and `bias` (dim,)."""

    weight: Tensor
    bias: Tensor
    eps: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `qkv` gives query, key and value of all heads, side by side."""

    qkv: Affine
    out: Affine
    attention_norm: Norm
    up: Affine
    down: Affine
    output_norm: Norm


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """A whole encoder. `positions` includes BERT's embedding of token type 0, the only one in use."""

    words: Tensor
    positions: Tensor
    norm: Norm
    layers: tuple[Layer, ...]
    heads: int


@dataclass(frozen=True, slots=True)
class _Names:
    """What a model family calls the parts of a layer; `layer` is the prefix of its number."""

    layer: str
    qkv: tuple[str, str, str]
    out: str
    attention_norm: str
    up: str
    down: str
    output_norm: str


_FAMILIES: Final = {
    "bert": _Names(
        layer="encoder.layer.",
        qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
        out="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        output_norm="output.LayerNorm",
    ),
    "distilbert": _Names(
        layer="transformer.layer.",
        qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        out="attention.out_lin",
        attention_norm="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        output_norm="output_layer_norm",
    ),
}


def why_unsupported(config: ModelConfig) -> str:
    """What keeps a model of this configuration from `read_weights`, or "" if nothing does."""
    if config.family not in _FAMILIES:
        return f"the model is {config.family}"
    if config.activation != "gelu":
        return f"the model's activation is {config.activation}"
    if config.position_kind != "absolute":
        return f"the model's positions are {config.position_kind}"
    return ""


def read_weights(tensors: Mapping[str, Tensor], config: ModelConfig, *, copy: bool) -> EncoderWeights:
    """The weights of a model that `why_unsupported` has no objection to.

    With `copy`, only the matrices of the layers may share memory with `tensors`: a forward pass repacks those, but
    keeps the rest as is if it already has the right precision. Tensors of a file are memory-mapped, and somebody may
    write to the file.

    Raises UnusualModelError if `tensors` aren't exactly the ones that `config` asks for, under the names
    that current transformers gives them.
    """
    reader = _Reader(tensors, config, copy=copy)
    dim, names = config.dim, _FAMILIES[config.family]
    positions = reader.tensor("embeddings.position_embeddings.weight", config.positions, dim)
    if config.token_types:
        types = reader.tensor("embeddings.token_type_embeddings.weight", config.token_types, dim)
        positions = positions + types[0]
    weights = EncoderWeights(
        words=reader.tensor("embeddings.word_embeddings.weight", config.vocab_size, dim),
        positions=positions,
        norm=reader.norm("embeddings.LayerNorm"),
        layers=tuple(_layer(reader, names, f"{names.layer}{n}.", config) for n in range(config.layers)),
        heads=config.heads,
    )
    reader.check_rest()
    return weights


def _layer(reader: _Reader, names: _Names, at: str, config: ModelConfig) -> Layer:
    dim, hidden = config.dim, config.hidden
    parts = [reader.affine(at + name, dim, dim) for name in names.qkv]
    return Layer(
        qkv=Affine(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])),
        out=reader.affine(at + names.out, dim, dim),
        attention_norm=reader.norm(at + names.attention_norm),
        up=reader.affine(at + names.up, hidden, dim),
        down=reader.affine(at + names.down, dim, hidden),
        output_norm=reader.norm(at + names.output_norm),
    )


class _Reader:
    """Reads tensors by name, checking and counting each, with or without the prefix of a model saved with a head."""

    def __init__(self, tensors: Mapping[str, Tensor], config: ModelConfig, *, copy: bool) -> None:
        prefix = f"{config.family}."
        self._prefix = prefix if any(name.startswith(prefix) for name in tensors) else ""
        self._tensors = tensors
        self._config = config
        self._copy = copy
        self._rest = set(tensors)

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor as float32, copied if asked for."""
        return self._found(name, *shape).to(torch.float32, copy=self._copy)

    def _found(self, name: str, *shape: int) -> Tensor:
        name = self._prefix + name
        found = self._tensors.get(name)
        if found is None or found.shape != shape or found.dtype not in _FLOATS:
            raise UnusualModelError(name)
        self._rest.discard(name)
        return found

    def affine(self, name: str, outputs: int, inputs: int) -> Affine:
        weight = self._found(f"{name}.weight", outputs, inputs).to(torch.float32)
        return Affine(weight, self.tensor(f"{name}.bias", outputs))

    def norm(self, name: str) -> Norm:
        dim = self._config.dim
        return Norm(self.tensor(f"{name}.weight", dim), self.tensor(f"{name}.bias", dim), self._config.eps)

    def check_rest(self) -> None:
        """Raise UnusualModelError if a tensor is left over that isn't used in training only."""
        for name in self._rest:
            if not is_unused(name.removeprefix(self._prefix)):
                raise UnusualModelError(name)
