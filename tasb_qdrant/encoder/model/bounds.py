"""What a model's folder may ask of the machine before anything of it is built: files that are files, and sizes that go
with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.encoder.model.json_files import read_object
from tasb_qdrant.encoder.model.weights import WeightFiles
from tasb_qdrant.errors import CorruptModelError

_MOST: Final[Mapping[str, int]] = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "num_layers", "num_hidden_groups", "inner_group_num"), 1_000),
    **dict.fromkeys(("num_feedforward_networks", "conv_kernel_size"), 1_000),
    **dict.fromkeys(("num_attention_heads", "n_heads", "num_key_value_heads", "type_vocab_size"), 2**16),
    **dict.fromkeys(("relative_attention_num_buckets", "max_relative_positions", "position_buckets"), 2**16),
    **dict.fromkeys(("input_embedding_size", "output_embedding_size", "intra_bottleneck_size"), 2**20),
    **dict.fromkeys(("hidden_size", "dim", "embedding_size", "hidden_dim", "intermediate_size"), 2**20),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "num_labels", "_num_labels"), 2**24),
}
"""Far beyond any encoder. What builds a model counts up to these, or allocates as much, before it compares them with
the weights."""

_ANY_BELOW_ZERO: Final = ("max_relative_positions", "position_buckets")
"""DeBERTa's -1 says that there is no limit of their own."""

_MOST_LABELS: Final = 2**16

_NUMBERS_A_BYTE: Final = 8
"""A model's tables hold at most so many numbers for each byte of its weights: one at most is true, but for layers that
share theirs."""

_TENSORS_A_LAYER: Final = 4
"""Every layer has more of its own: ModernBERT's six, and a plain BERT's sixteen."""

_FEW_LAYERS: Final = 64
"""Built in no time, and what is wrong is told better by who reads the weights."""

_LONGEST_HEADER: Final = 2**26

_FEW: Final = 2**27
"""Numbers that any machine holds: what is wrong with small files is told better by who reads them."""


def check_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise CorruptModelError for a size in config.json of `folder`, or a number of labels, that no encoder has."""
    for name, most in _MOST.items():
        value = config.get(name)
        least = -1 if name in _ANY_BELOW_ZERO else 0
        if isinstance(value, int | float) and not isinstance(value, bool) and not least <= value <= most:
            raise CorruptModelError(
                f"{folder / 'config.json'} has a {name} of {value!r:.40}; expected at most {most:,}; get the file "
                "again, or choose another --model"
            )
    for name in ("id2label", "label2id"):
        labels = config.get(name)
        if isinstance(labels, dict | list) and len(labels) > _MOST_LABELS:
            raise CorruptModelError(
                f"{folder / 'config.json'} has {len(labels):,} entries in {name}; expected at most {_MOST_LABELS:,}; "
                "get the file again, or choose another --model"
            )


def check_weights(folder: Path, weights: WeightFiles) -> None:
    """Raise CorruptModelError if config.json of `folder` asks for many more numbers or layers than the weight files
    hold: a thousand layers take ten seconds to build, and are then found to be missing."""
    config = read_object(folder / "config.json")
    _check_layers(folder, config, weights)
    hidden = _size(config, "hidden_size", "dim")
    wide = _size(config, "intermediate_size", "hidden_dim")
    layers = _size(config, "num_hidden_layers", "n_layers")
    embedded = _size(config, "embedding_size") or hidden
    rows = max(_size(config, "vocab_size"), _size(config, "max_position_embeddings"))
    wanted = max(rows * embedded, layers * hidden * max(hidden, wide) // _NUMBERS_A_BYTE)
    held = sum(path.stat().st_size for path in weights.files)
    if wanted > max(_NUMBERS_A_BYTE * held, _FEW):
        raise CorruptModelError(
            f"{folder / 'config.json'} asks for {wanted:,} numbers, and the weights have {held:,} bytes; the files "
            "belong to different models: get them again"
        )


def _check_layers(folder: Path, config: Mapping[str, Any], weights: WeightFiles) -> None:
    # ALBERT's layers share the weights of a few.
    groups = _size(config, "num_hidden_groups") * (_size(config, "inner_group_num") or 1)
    layers = groups or _size(config, "num_hidden_layers", "n_layers")
    if not weights.safe or layers <= _FEW_LAYERS:
        return
    held = sum(map(_tensors, weights.files))
    if layers * _TENSORS_A_LAYER > held:
        raise CorruptModelError(
            f"{folder / 'config.json'} asks for {layers:,} layers, and the weights are {held:,} tensors; the files "
            "belong to different models: get them again"
        )


def _tensors(path: Path) -> int:
    """How many tensors the header of a safetensors file names, at most."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(min(size, _LONGEST_HEADER)).count(b'"data_offsets"')


def check_files(folder: Path) -> None:
    """Raise CorruptModelError for a FIFO, a socket or a device in `folder`: to read one may never end."""
    try:
        with os.scandir(folder) as entries:
            odd = next((one.name for one in entries if not (one.is_file() or one.is_dir() or _is_missing(one))), None)
    except OSError:
        return  # who reads the folder says so
    if odd is not None:
        raise CorruptModelError(
            f"{folder / odd} is neither a file nor a folder, but a FIFO, a socket or a device; get the model again"
        )


def _is_missing(entry: os.DirEntry[str]) -> bool:
    """A broken link, which who needs the file complains of."""
    return not os.path.exists(entry.path)


def _size(config: Mapping[str, Any], *names: str) -> int:
    found = next((config[name] for name in names if name in config), 0)
    return found if isinstance(found, int) else 0
