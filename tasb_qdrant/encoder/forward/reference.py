"""The forward pass through transformers: slow, simple, and the reference for every faster one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging as transformers_logging

from tasb_qdrant.encoder.model.layout import Pooling
from tasb_qdrant.encoder.model.weights import is_unused
from tasb_qdrant.errors import CorruptModelError

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_QUIET = threading.Lock()


class ReferenceForward:
    """Token ids to vectors. Not safe to call from several threads at once."""

    def __init__(
        self, model: PreTrainedModel, *, pooling: Pooling, normalized: bool, device: str, precision: str
    ) -> None:
        module: torch.nn.Module = model
        self._model = module.to(device=torch.device(device), dtype=_DTYPES[precision]).eval()
        self._pooling = pooling
        self._normalized = normalized
        self._device = torch.device(device)
        self._padding = int(model.config.pad_token_id or 0)

    def __call__(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """float32 (n, dim), pooled, in the order of `texts`: the ids of one text each."""
        with torch.inference_mode():
            ids, mask = self._padded(texts)
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = self._pool(hidden, mask)
            if self._normalized:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            result: NDArray[np.float32] = vectors.cpu().numpy()
        return result

    def _padded(self, texts: Sequence[NDArray[np.int32]]) -> tuple[Tensor, Tensor | None]:
        """Ids and attention mask, (n, longest); no mask if all lengths are equal."""
        lengths = np.fromiter((len(ids) for ids in texts), dtype=np.int64, count=len(texts))
        real = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(real.shape, self._padding, dtype=np.int64)
        ids[real] = np.concatenate(texts)
        mask = None if real.all() else torch.from_numpy(real.astype(np.int64)).to(self._device)
        return torch.from_numpy(ids).to(self._device), mask

    def _pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """float32 whatever the model's precision: sums and norms lose too much in 8 bits of mantissa."""
        if self._pooling == "cls":
            return hidden[:, 0].float()
        if mask is None:
            return hidden.float().mean(dim=1)
        weights = mask.unsqueeze(-1).float()
        return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)


def read_config(folder: Path) -> PretrainedConfig:
    """config.json as transformers understands it. Raises CorruptModelError."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers validates with errors of its own, which vary by version
        raise CorruptModelError(f"{folder / 'config.json'} can't be used ({_line(error)})") from error
    return config


def build_model(folder: Path, tensors: Mapping[str, Tensor]) -> PreTrainedModel:
    """The model of `folder` with exactly these weights, float32, on the CPU.

    Raises CorruptModelError if they aren't the ones that config.json asks for: transformers would
    fill the gaps with random numbers.
    """
    config = read_config(folder)
    kind: Any = MODEL_MAPPING[type(config)]
    attention = "sdpa" if kind._supports_sdpa else "eager"  # eager: DeBERTa, and others that have nothing else
    filled = fill_model(kind, config, folder, tensors, attention=attention)
    prefix = f"{kind.base_model_prefix}."

    def used(names: Iterable[str]) -> list[str]:
        return [name for name in (name.removeprefix(prefix) for name in names) if not is_unused(name)]

    check_fit(
        folder, missing=used(filled.missing), unexpected=used(filled.unexpected), misshapen=used(filled.misshapen)
    )
    return filled.model


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A model, float32 on the CPU, and the names of weights that were missing, left over or of another shape.

    `missing` and `misshapen` (of another shape) weights hold random numbers in the model.
    """

    model: PreTrainedModel
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]


def fill_model(
    kind: Any, config: PretrainedConfig, folder: Path, tensors: Mapping[str, Tensor], *, attention: str
) -> Filled:
    """A model of the class `kind` with these weights. `attention` is sdpa or eager: whatever else config.json asks for
    could be code from the hub.

    Raises CorruptModelError if no model can be built from config.json.
    """
    with _quiet():
        try:
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=dict(tensors),
                dtype=torch.float32,
                attn_implementation=attention,
                ignore_mismatched_sizes=True,  # they are reported for the caller to refuse
                output_loading_info=True,
            )
        except Exception as error:  # a configuration may fail anywhere in transformers' code
            raise CorruptModelError(f"no model can be built from {folder / 'config.json'} ({_line(error)})") from error
    return Filled(
        model,
        missing=tuple(map(str, report["missing_keys"])),
        unexpected=tuple(map(str, report["unexpected_keys"])),
        misshapen=tuple(str(entry[0]) for entry in report["mismatched_keys"]),
    )


def check_fit(folder: Path, *, missing: Sequence[str], unexpected: Sequence[str], misshapen: Sequence[str]) -> None:
    """Raise CorruptModelError if the weights don't fit the model."""
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    problems = [f"{what}: {shown_names(names)}" for what, names in kinds.items() if names]
    if problems:
        raise CorruptModelError(
            f"the weights in {folder} don't fit its config.json ({'; '.join(problems)}); get the model again"
        )


def shown_names(names: Sequence[str]) -> str:
    """The first of `names` alphabetically, and how many more there are."""
    return f"{min(names)} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bar and logged table: stderr belongs to the program."""
    with _QUIET:
        bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # has no annotations
        transformers_logging.set_verbosity(logging.ERROR)
        try:
            yield
        finally:
            transformers_logging.set_verbosity(level)
            if bars:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # the same
