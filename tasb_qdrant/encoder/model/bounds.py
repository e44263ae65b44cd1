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
    **dict.fromkeys(("num_attention_heads", "n_heads", "num_key_value_heads", "type_vocab_size"), 2**16),
    **dict.fromkeys(("hidden_size", "dim", "embedding_size", "hidden_dim", "intermediate_size"), 2**20),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "num_labels", "_num_labels"), 2**24),
}
"""Far beyond any encoder. What builds a model counts up to these, or allocates as much, before it compares them with
the weights."""

_NUMBERS_A_BYTE: Final = 8
"""A model's tables hold at most so many numbers for each byte of its weights: one at most is true, but for layers that
share theirs."""


_FEW: Final = 2**27
"""Numbers that any machine holds: what is wrong with small files is told better by who reads them."""


def check_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise CorruptModelError for a size in config.json of `folder` that no encoder has."""
    for name, most in _MOST.items():
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value <= most:
            raise CorruptModelError(
                f"{folder / 'config.json'} has a {name} of {value!r:.40}; expected at most {most:,}; get the file "
                "again, or choose another --model"
            )


def check_weights(folder: Path, weights: WeightFiles) -> None:
    """Raise CorruptModelError if config.json of `folder` asks for many more numbers than the weight files hold."""
    config = read_object(folder / "config.json")
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
