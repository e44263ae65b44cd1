"""LoRA adapters: a few small matrices that change the weights of another model, their base."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasb_qdrant.encoder.model.json_files import is_file_name, read_object
from tasb_qdrant.errors import CorruptModelError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"

_KEY = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])(?:\.\w+)?\.weight")
# Anything but these values changes what the two matrices mean, or adds others to them.
_PLAIN: Final[dict[str, tuple[object, ...]]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "modules_to_save": (None, []),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, []),
    "alora_invocation_tokens": (None, []),
}

_MOST: Final = 2**24


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter in `folder` for the model `base`, a folder or hub id, at `revision` of the hub."""

    folder: Path
    base: str
    revision: str | None
    scale: float


def read_adapter(folder: Path) -> Adapter:
    """Raises CorruptModelError, and ModelError for an adapter of another kind than plain LoRA."""
    path = folder / CONFIG
    config = read_object(path)
    for key, usual in _PLAIN.items():
        if config.get(key) not in usual:
            raise ModelError(
                f"{path} sets {key} to {config[key]!r}, and only plain LoRA adapters are supported; merge it into its "
                "base (peft's merge_and_unload), save that, and give its folder with --model"
            )
    base = config.get("base_model_name_or_path")
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    if not isinstance(base, str) or not base or not is_file_name(base):
        raise ModelError(f"{path} doesn't name its base model; set base_model_name_or_path to its folder or hub id")
    numbers = type(rank) is int and isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not numbers or not 1 <= rank <= _MOST or not abs(alpha) <= _MOST:
        raise CorruptModelError(
            f"{path} has r {rank!r:.40} and lora_alpha {alpha!r:.40}; expected numbers, at most {_MOST:,}; get it again"
        )
    revision = config.get("revision")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return Adapter(folder, base, revision if isinstance(revision, str) else None, scale)


def merged(tensors: Mapping[str, Tensor], changes: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """The base's `tensors` with `scale * B @ A` added in float32, as the adapter's `changes` say.

    Raises ModelError for anything in them that isn't such a pair, CorruptModelError if they aren't of this base.
    """
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in changes.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ModelError(
                f"{adapter.folder / WEIGHTS} holds {key}, which is no LoRA matrix; merge the adapter into its base "
                "(peft's merge_and_unload), save that, and give its folder with --model"
            )
        pairs.setdefault(match["module"], {})[match["side"]] = tensor
    result = dict(tensors)
    for module, sides in pairs.items():
        name = _base_name(f"{module}.weight", tensors)
        shape = None if name is None else tensors[name].shape
        if name is None or sides.keys() != {"A", "B"} or _product_shape(sides["B"], sides["A"]) != shape:
            raise CorruptModelError(
                f"the LoRA matrices of {module} in {adapter.folder} don't fit the base {adapter.base}; "
                "check that it is the model that the adapter was trained on"
            )
        result[name] = tensors[name].float() + adapter.scale * (sides["B"].float() @ sides["A"].float())
    return result


def _product_shape(left: Tensor, right: Tensor) -> tuple[int, ...]:
    """That of the product of two matrices, () if they have none."""
    fit = left.dim() == right.dim() == 2 and left.shape[1] == right.shape[0]
    return (left.shape[0], right.shape[1]) if fit else ()


def _base_name(wanted: str, tensors: Mapping[str, Any]) -> str | None:
    """What the base calls the weight: one of them may have a prefix, such as "bert.", that the other leaves out."""
    if wanted in tensors:
        return wanted
    found = [name for name in tensors if name.endswith(f".{wanted}") or wanted.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None
