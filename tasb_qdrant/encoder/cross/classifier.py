"""A sequence classifier through transformers: built from exactly its weights, and run on batches of pairs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from tasb_qdrant.encoder.cross.layout import ClassifierLayout
from tasb_qdrant.encoder.cross.pairs import PairBatch
from tasb_qdrant.encoder.forward.reference import check_fit, fill_model, read_config, shown_names
from tasb_qdrant.encoder.model.json_files import read_object
from tasb_qdrant.encoder.model.weights import is_unused
from tasb_qdrant.errors import CorruptModelError, EncodingError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from tasb_qdrant.encoder.tokenize.plain import OwnTokenizer

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_UNLIMITED: Final = 10**9  # transformers writes 10**30 for a tokenizer that states no limit
_EXAMPLE: Final = "cross-encoder/ms-marco-MiniLM-L6-v2"


def build_classifier(layout: ClassifierLayout, tensors: Mapping[str, Tensor]) -> PreTrainedModel:
    """The classifier in a folder with exactly these weights, float32, on the CPU, with one label or two.

    Raises ModelError for anything but a relevance classifier, CorruptModelError for weights that aren't the ones
    that config.json asks for: transformers would fill the gaps with random numbers.
    """
    folder = layout.folder
    config = _read_config(layout)
    kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    if kind is None:
        raise ModelError(
            f"transformers has no sequence classifier of the architecture {config.model_type!r} ({folder}); "
            f"choose a cross-encoder, such as {_EXAMPLE}"
        )
    attention = "sdpa" if kind._supports_sdpa else "eager"  # eager: DeBERTa, and others that have nothing else
    filled = fill_model(kind, config, folder, tensors, attention=attention)
    prefix = f"{kind.base_model_prefix}."
    missing = [name for name in filled.missing if not name.endswith("position_ids")]
    if head := [name for name in missing if not name.startswith(prefix)]:
        raise ModelError(
            f"{folder} is not a cross-encoder: its weights lack the classifier's ({shown_names(head)}), which would be "
            f"random numbers{_own_code(layout)}; choose a model trained as one, such as {_EXAMPLE}"
        )
    _check_labels(config, folder)
    check_fit(
        folder,
        missing=missing,
        unexpected=[name for name in filled.unexpected if not is_unused(name.removeprefix(prefix))],
        misshapen=filled.misshapen,
    )
    return filled.model


def _read_config(layout: ClassifierLayout) -> PretrainedConfig:
    family = read_object(layout.folder / "config.json").get("model_type")
    if family not in CONFIG_MAPPING:
        raise ModelError(
            f"{layout.folder / 'config.json'} describes the architecture {family!r}, which transformers doesn't know"
            f"{_own_code(layout)}; choose another model, such as {_EXAMPLE}"
        )
    return read_config(layout.folder)


def _own_code(layout: ClassifierLayout) -> str:
    return "; code of the model's own (auto_map) is never run" if layout.own_code else ""


def _check_labels(config: PretrainedConfig, folder: Path) -> None:
    labels = _labels(config)
    if len(labels) not in (1, 2):
        raise ModelError(
            f"{folder} has {len(labels)} labels ({', '.join(labels[:5])}); "
            "a relevance score needs a model with one label, or with two of which the second means relevant, "
            f"such as {_EXAMPLE}"
        )


def label_note(config: PretrainedConfig) -> str:
    """A note on what a score is."""
    labels = _labels(config)
    if len(labels) == 1:
        return "A score is the logit of the model's one label."
    return f"A score is the logit of the model's label 1 ({labels[1]}) minus that of label 0 ({labels[0]})."


def _labels(config: PretrainedConfig) -> list[str]:
    names: Any = config.id2label or {}
    return [str(names.get(label, f"LABEL_{label}")) for label in range(config.num_labels or 0)]


def read_length(layout: ClassifierLayout, tokenizer: OwnTokenizer, model: PreTrainedModel) -> int | None:
    """Tokens that the model reads of query and passage together, or None if it doesn't say.

    The minimum of what its files say and its positions allow. Raises CorruptModelError if that is too little.
    """
    length = min([layout.max_length or tokenizer.max_length, *_positions(model)])
    if length <= tokenizer.backend.num_special_tokens_to_add(is_pair=True):
        raise CorruptModelError(f"{layout.folder} reads only {length} tokens, which leaves none for query and passage")
    return length if length < _UNLIMITED else None


def _positions(model: PreTrainedModel) -> list[int]:
    """Tokens that the model has positions for, by its configuration and its position embeddings."""
    stated = getattr(model.config, "max_position_embeddings", None)
    found = [stated] if isinstance(stated, int) and stated > 0 else []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and name.endswith("position_embeddings"):
            # RoBERTa and its relatives start after the padding's position.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - unused)
    return found


def embedded(model: PreTrainedModel) -> int:
    """How many token ids the model knows."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.num_embeddings)


class ClassifierForward:
    """Pairs to scores. Not safe to call from several threads at once."""

    def __init__(self, model: PreTrainedModel, tokenizer: OwnTokenizer, *, device: str, precision: str) -> None:
        config: Any = model.config
        padding = tokenizer.padding if config.pad_token_id is None else config.pad_token_id
        if padding is None:
            raise ModelError("neither config.json nor the tokenizer names a padding token; choose another model")
        config.pad_token_id = padding  # decoders use it to find a pair's last token
        module: torch.nn.Module = model
        self._model = module.to(device=torch.device(device), dtype=_DTYPES[precision]).eval()
        if precision != "fp32":
            _keep_head_exact(model)
        self._device = torch.device(device)
        self._labels = len(_labels(config))
        self._padding = padding
        self._padded_left = tokenizer.padded_left
        self._token_types = tokenizer.token_types and _takes_token_types(model)

    def __call__(self, pairs: PairBatch, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """float32 (len(rows),), in the order of `rows`: the one label's logit, or the second's minus the first's."""
        with torch.inference_mode():
            logits = self._model(**self._inputs(pairs, rows)).logits.float()
            if logits.shape != (len(rows), self._labels):
                raise EncodingError(
                    f"expected logits ({len(rows)}, {self._labels}), the model gave {tuple(logits.shape)}; "
                    "use another model"
                )
            scores = logits[:, 0] if self._labels == 1 else logits[:, 1] - logits[:, 0]
            result: NDArray[np.float32] = scores.cpu().numpy()
        return result

    def _inputs(self, pairs: PairBatch, rows: NDArray[np.intp]) -> dict[str, Tensor]:
        """The model's inputs, each (n, longest); no mask if all lengths are equal."""
        lengths = pairs.lengths[rows]
        place = np.arange(lengths.max())
        first = lengths.max() - lengths if self._padded_left else np.zeros_like(lengths)
        real = (place >= first[:, None]) & (place < (first + lengths)[:, None])
        inputs = {"input_ids": self._padded([pairs.ids(row) for row in rows.tolist()], real, self._padding)}
        if self._token_types:
            inputs["token_type_ids"] = self._padded([pairs.types(row) for row in rows.tolist()], real, 0)
        if not real.all():
            inputs["attention_mask"] = torch.from_numpy(real.astype(np.int64)).to(self._device)
        return inputs

    def _padded(self, parts: list[NDArray[np.int32]], real: NDArray[np.bool_], padding: int) -> Tensor:
        whole = np.full(real.shape, padding, dtype=np.int64)
        whole[real] = np.concatenate(parts)
        return torch.from_numpy(whole).to(self._device)


def _keep_head_exact(model: PreTrainedModel) -> None:
    """Compute everything after the transformer in fp32: otherwise, in bf16, a logit of 8 would be a multiple of 1/16,
    and passages would tie."""
    for name, module in model.named_children():
        if name != model.base_model_prefix:
            module.float()
            module.register_forward_pre_hook(_as_floats, with_kwargs=True)


def _as_floats(
    _: torch.nn.Module, values: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_as_float, values)), {name: _as_float(value) for name, value in named.items()}


def _as_float(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _takes_token_types(model: PreTrainedModel) -> bool:
    """Whether token types tell the query from the passage. RoBERTa accepts them, but has only one."""
    kinds = getattr(model.config, "type_vocab_size", None)
    return "token_type_ids" in inspect.signature(model.forward).parameters and (kinds is None or kinds > 1)
