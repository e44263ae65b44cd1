"""What config.json says about a model: read here if it is plain, otherwise by transformers.

Importing transformers takes longer than loading a model, so a file with only the usual entries is read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.encoder.model import entries
from tasb_qdrant.encoder.model.entries import Check, UnusualModelError
from tasb_qdrant.errors import CorruptModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model's shape, in BERT's terms. `token_types` is 0 if there are none.

    `plain` means that config.json holds nothing beyond these fields and what an encoder doesn't need;
    about any other, transformers may know more.
    """

    family: str
    vocab_size: int
    dim: int
    layers: int
    heads: int
    hidden: int
    positions: int
    token_types: int
    eps: float
    activation: str
    position_kind: str
    padding: int
    plain: bool


def read_config(folder: Path) -> ModelConfig:
    """config.json of `folder`. Raises CorruptModelError."""
    try:
        return plain_config(folder)
    except UnusualModelError:
        # If anything about the file is unusual or wrong, transformers knows best what it means.
        from tasb_qdrant.encoder.forward.reference import read_config as read_any

        return general_config(read_any(folder))


def general_config(config: PretrainedConfig) -> ModelConfig:
    """The same for any encoder that transformers knows. Raises CorruptModelError."""
    distil = config.model_type == "distilbert"

    def size(name: str, default: Any = None) -> int:
        return _size(name, getattr(config, name, default), config)

    return ModelConfig(
        family=config.model_type,
        vocab_size=size("vocab_size"),
        dim=size("hidden_size"),
        layers=size("num_hidden_layers"),
        heads=size("num_attention_heads"),
        hidden=size("hidden_dim" if distil else "intermediate_size"),
        positions=size("max_position_embeddings"),
        token_types=0 if distil else size("type_vocab_size", 0),
        eps=_DISTILBERT_EPS if distil else _first(config, "layer_norm_eps", "norm_eps", default=0.0),
        activation=str(config.activation if distil else _first(config, "hidden_act", "hidden_activation", default="")),
        position_kind=str(getattr(config, "position_embedding_type", "absolute")),
        padding=_size("pad_token_id", config.pad_token_id or 0, config),
        plain=False,
    )


def _size(name: str, value: object, config: PretrainedConfig) -> int:
    """transformers checks the types of most families' entries, and of some none."""
    if type(value) is not int or value < 0:
        raise CorruptModelError(
            f"config.json in {config.name_or_path} has a {name} of {value!r:.40}; expected a whole number; get the "
            "file again"
        )
    return value


def _first(config: PretrainedConfig, *names: str, default: Any) -> Any:
    """The same entry under the names that families give it. What no family here needs may be missing."""
    return next((getattr(config, name) for name in names if hasattr(config, name)), default)


def plain_config(folder: Path) -> ModelConfig:
    """config.json of `folder` with transformers' defaults, if it is that of a plain BERT or DistilBERT.

    Raises UnusualModelError for any other.
    """
    found = entries.read_object(folder / "config.json")
    family = found.get("model_type")
    if family == "distilbert":
        entries.check_entries(found, _DISTILBERT)
        config = _distilbert(found)
    elif family == "bert":
        entries.check_entries(found, _BERT)
        config = _bert(found)
    else:
        raise UnusualModelError("model_type")
    if config.dim % config.heads or config.padding >= config.vocab_size:
        raise UnusualModelError("sizes that don't go together")
    return config


def _distilbert(found: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        family="distilbert",
        vocab_size=found.get("vocab_size", 30522),
        dim=found.get("dim", 768),
        layers=found.get("n_layers", 6),
        heads=found.get("n_heads", 12),
        hidden=found.get("hidden_dim", 3072),
        positions=found.get("max_position_embeddings", 512),
        token_types=0,
        eps=_DISTILBERT_EPS,
        activation=found.get("activation", "gelu"),
        position_kind="absolute",
        padding=found.get("pad_token_id", 0) or 0,
        plain=True,
    )


def _bert(found: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(
        family="bert",
        vocab_size=found.get("vocab_size", 30522),
        dim=found.get("hidden_size", 768),
        layers=found.get("num_hidden_layers", 12),
        heads=found.get("num_attention_heads", 12),
        hidden=found.get("intermediate_size", 3072),
        positions=found.get("max_position_embeddings", 512),
        token_types=found.get("type_vocab_size", 2),
        eps=found.get("layer_norm_eps", 1e-12),
        activation=found.get("hidden_act", "gelu"),
        position_kind="absolute",
        padding=found.get("pad_token_id", 0) or 0,
        plain=True,
    )


_DISTILBERT_EPS: Final = 1e-12  # transformers' code, not its configuration
_FALSE: Final = entries.one_of(False)
_ACTIVATIONS: Final = entries.one_of("gelu")  # for any other, transformers' own forward pass is used

_COMMON: Final[dict[str, Check]] = {
    "model_type": entries.text,
    "vocab_size": entries.size,
    "max_position_embeddings": entries.size,
    "pad_token_id": entries.count,
    "bos_token_id": entries.count,
    "eos_token_id": entries.count,
    "_name_or_path": entries.text,
    "architectures": entries.texts,
    "transformers_version": entries.text,
    "torch_dtype": entries.one_of("float32", "float16", "bfloat16"),
    "dtype": entries.one_of("float32", "float16", "bfloat16"),
    "initializer_range": entries.one_float,
    "tie_weights_": entries.flag,
    "tie_word_embeddings": entries.flag,
    "gradient_checkpointing": entries.flag,
    "use_cache": entries.flag,
    "is_decoder": _FALSE,
    "add_cross_attention": _FALSE,
    "output_past": entries.flag,
    "output_hidden_states": entries.flag,
    "id2label": entries.labels,
    "label2id": entries.label_ids,
}
_DISTILBERT: Final[dict[str, Check]] = _COMMON | {
    "dim": entries.size,
    "n_layers": entries.size,
    "n_heads": entries.size,
    "hidden_dim": entries.size,
    "activation": _ACTIVATIONS,
    "sinusoidal_pos_embds": _FALSE,
    "dropout": entries.share,
    "attention_dropout": entries.share,
    "qa_dropout": entries.share,
    "seq_classif_dropout": entries.share,
}
_BERT: Final[dict[str, Check]] = _COMMON | {
    "hidden_size": entries.size,
    "num_hidden_layers": entries.size,
    "num_attention_heads": entries.size,
    "intermediate_size": entries.size,
    "type_vocab_size": entries.size,
    "layer_norm_eps": entries.one_float,
    "hidden_act": _ACTIVATIONS,
    "position_embedding_type": entries.one_of("absolute"),
    "hidden_dropout_prob": entries.share,
    "attention_probs_dropout_prob": entries.share,
    "classifier_dropout": lambda value: value is None or entries.share(value),
}
