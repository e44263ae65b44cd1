"""The weights of BERT and DistilBERT under one set of names: the two differ in nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

FAMILIES: Final = ("bert", "distilbert")


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
    """One layer. `qkv` gives query, key and value of all heads, one after the other."""

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


def why_unsupported(config: PretrainedConfig) -> str:
    """What keeps a model of this configuration from `read_weights`, or "" if nothing does."""
    if config.model_type not in FAMILIES:
        return f"the model is {config.model_type}"
    activation = config.hidden_act if config.model_type == "bert" else config.activation
    if activation != "gelu":
        return f"the model's activation is {activation}"
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        return f"the model's positions are {config.position_embedding_type}"
    return ""


def read_weights(model: PreTrainedModel) -> EncoderWeights:
    """The weights of `model`, which `why_unsupported` has nothing against; tensors are shared, not copied."""
    return _distilbert(model) if model.config.model_type == "distilbert" else _bert(model)


def _distilbert(model: Any) -> EncoderWeights:
    embeddings = model.embeddings
    layers = tuple(
        Layer(
            qkv=_joined(layer.attention.q_lin, layer.attention.k_lin, layer.attention.v_lin),
            out=_affine(layer.attention.out_lin),
            attention_norm=_norm(layer.sa_layer_norm),
            up=_affine(layer.ffn.lin1),
            down=_affine(layer.ffn.lin2),
            output_norm=_norm(layer.output_layer_norm),
        )
        for layer in model.transformer.layer
    )
    return EncoderWeights(
        words=embeddings.word_embeddings.weight.detach(),
        positions=embeddings.position_embeddings.weight.detach(),
        norm=_norm(embeddings.LayerNorm),
        layers=layers,
        heads=int(model.config.n_heads),
    )


def _bert(model: Any) -> EncoderWeights:
    embeddings = model.embeddings
    layers = tuple(
        Layer(
            qkv=_joined(layer.attention.self.query, layer.attention.self.key, layer.attention.self.value),
            out=_affine(layer.attention.output.dense),
            attention_norm=_norm(layer.attention.output.LayerNorm),
            up=_affine(layer.intermediate.dense),
            down=_affine(layer.output.dense),
            output_norm=_norm(layer.output.LayerNorm),
        )
        for layer in model.encoder.layer
    )
    positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    return EncoderWeights(
        words=embeddings.word_embeddings.weight.detach(),
        positions=positions.detach(),
        norm=_norm(embeddings.LayerNorm),
        layers=layers,
        heads=int(model.config.num_attention_heads),
    )


def _affine(module: Any) -> Affine:
    return Affine(module.weight.detach(), module.bias.detach())


def _joined(*modules: Any) -> Affine:
    weights = torch.cat([module.weight.detach() for module in modules])
    return Affine(weights, torch.cat([module.bias.detach() for module in modules]))


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach(), module.bias.detach(), float(module.eps))
