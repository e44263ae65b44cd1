"""The weight files of a model: found, hashed, and read without executing anything in them."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasb_qdrant.encoder.model import adapter
from tasb_qdrant.encoder.model.json_files import read_object
from tasb_qdrant.errors import CorruptModelError, ModelError, ModelNotFoundError, UnsafeWeightsError

if TYPE_CHECKING:
    from torch import Tensor

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_PICKLE_SHARD = re.compile(r"pytorch_model-\d{5}-of-\d{5}\.bin")
_HASH_BLOCK: Final = 1 << 24
"""Bytes. A thread may wait up to 5 ms for the GIL at either end of a block, so blocks are large."""

# Parts used in training only; anything else that is missing or left over is an error.
_UNUSED: Final = (
    "pooler.",
    "cls.",
    "lm_head.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "generator_predictions.",
    "generator_lm_head.",
    "discriminator_predictions.",
)
_POINTER: Final = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class WeightNames:
    """Names of weight files, an index first if there is one. `safe` is False for pickles."""

    names: tuple[str, ...]
    safe: bool


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """Weight files in the order in which they are hashed. `safe` is False for pickles."""

    files: tuple[Path, ...]
    safe: bool


def pick_weights(names: Iterable[str]) -> WeightNames | None:
    """Which of a folder's files hold the weights: an adapter's, else safetensors if there are any, else pickles."""
    listed = set(names)
    if adapter.CONFIG in listed:
        return WeightNames((adapter.WEIGHTS,), safe=True)
    for single, shard, safe in (
        ("model.safetensors", _SHARD, True),
        ("pytorch_model.bin", _PICKLE_SHARD, False),
    ):
        if single in listed:
            return WeightNames((single,), safe)
        index = f"{single}.index.json"
        if index in listed:
            return WeightNames((index, *sorted(filter(shard.fullmatch, listed))), safe)
    return None


def find_weights(folder: Path, *, allow_pickle: bool, pickle_option: bool = True) -> WeightFiles:
    """The weight files in `folder`; `pickle_option` says whether the user could have allowed pickles.

    Raises ModelNotFoundError, UnsafeWeightsError, CorruptModelError.
    """
    found = pick_weights(_names_in(folder))
    if found is None:
        raise ModelNotFoundError(f"{folder} has no weights (model.safetensors); complete the folder")
    if not found.safe and not allow_pickle:
        raise pickles_only(folder, found.names[0], pickle_option=pickle_option)
    if not found.names[0].endswith(".index.json"):
        path = folder / found.names[0]
        if not path.is_file():
            what = "a broken link" if path.is_symlink() else "not a file" if path.exists() else "not there"
            raise ModelNotFoundError(f"{path} is {what}; complete the folder")
        return WeightFiles((path,), found.safe)
    files = _indexed(folder / found.names[0], _SHARD if found.safe else _PICKLE_SHARD)
    for path in files:
        if not path.is_file():
            raise ModelNotFoundError(f"{folder} has no {path.name}, which {found.names[0]} names; complete it")
    return WeightFiles(files, found.safe)


def pickles_only(where: str | Path, name: str, *, pickle_option: bool) -> UnsafeWeightsError:
    """The error for the model at `where`, whose weights are the pickle `name`."""
    way_out = "give --allow-pickle" if pickle_option else "save it as safetensors if you trust it (save_pretrained)"
    return UnsafeWeightsError(
        f"{where} holds pickle weights only ({name}), which can run code when loaded; "
        f"choose a safetensors version of the model, or {way_out}"
    )


@contextmanager
def hashing(files: Sequence[Path]) -> Iterator[Callable[[], str]]:
    """A function that returns the sha256 of the concatenated files, in hexadecimal.

    A thread computes it within the block, and stops at its end. The function raises ModelNotFoundError.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="hash-weights") as pool:
        found = pool.submit(_hash, files, stop)
        try:
            yield found.result
        finally:
            stop.set()


def _hash(files: Sequence[Path], stop: threading.Event) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(_HASH_BLOCK))
    for path in files:
        try:
            with path.open("rb", buffering=0) as stream:
                while size := stream.readinto(block):
                    digest.update(block[:size])
                    if stop.is_set():
                        raise CancelledError
        except OSError as error:
            raise _unreadable(path, error) from error
    return digest.hexdigest()


def is_unused(name: str) -> bool:
    """Whether no forward pass here needs a weight of this name (without the model's prefix)."""
    return name.startswith(_UNUSED) or name.endswith("position_ids")


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(path: Path, error: OSError) -> ModelNotFoundError:
    return ModelNotFoundError(f"{path} can't be read ({error.strerror}); check that it exists, and its permissions")


def read_tensors(weights: WeightFiles, *, sha256: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors by name, and notes on how they were read.

    Pickles go through torch's restricted loader once; their tensors are then cached as safetensors under the
    `sha256` of the pickles. Raises CorruptModelError, UnsafeWeightsError.
    """
    if weights.safe:
        return _read_safetensors(weights.files), ()
    from huggingface_hub import cached_assets_path, constants

    cache = cached_assets_path("tasb-qdrant", "safetensors", sha256, assets_dir=constants.HF_ASSETS_CACHE)
    kept = cache / "model.safetensors"
    if not kept.is_file():
        _convert(weights.files, kept)
    note = f"{weights.files[0].name} is a pickle: only its tensors were read, and are kept in {kept}."
    return _read_safetensors((kept,)), (note,)


def _indexed(index: Path, shard: re.Pattern[str]) -> tuple[Path, ...]:
    try:
        names = sorted(set(read_object(index)["weight_map"].values()))
        bad = next((name for name in names if not shard.fullmatch(name)), None)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(f"{index} is not an index of weight files; get the model again") from error
    if bad is not None or not names:
        raise CorruptModelError(f"{index} names {bad!r}, which is not a weight file; get the model again")
    return tuple(index.parent / name for name in names)


def _read_safetensors(files: Sequence[Path]) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            tensors.update(load_file(path))
        except (SafetensorError, ValueError, OSError) as error:  # ValueError: an empty file can't be mapped
            raise CorruptModelError(f"{path} is not a valid safetensors file ({_reason(path, error)})") from error
    return tensors


def _reason(path: Path, error: Exception) -> str:
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            return "it is a git-lfs pointer: run 'git lfs pull'"
    return f"{error}; get the file again"


def _convert(files: Sequence[Path], kept: Path) -> None:
    """Write the pickles' tensors to `kept`, completely or not at all, even with two processes doing so."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors.update(_unpickle(path))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=kept.parent, suffix=".part")
        os.close(handle)
        try:
            save_file(tensors, name, metadata={"format": "pt"})
            os.replace(name, kept)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"the converted weights can't be written to {kept} ({error}); set HF_HOME") from error


def _unpickle(path: Path) -> dict[str, Tensor]:
    import pickle  # only for the loader's exception class

    import torch

    try:
        with warnings.catch_warnings():
            # torch warns about a pickle that it then reads or refuses; either outcome is handled below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeWeightsError(
            f"{path} holds more than tensors, so it is refused even with --allow-pickle; "
            "choose a safetensors version of the model"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CorruptModelError(f"{path} is not a valid weight file; get the file again") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CorruptModelError(f"{path} must hold a dictionary of tensors; choose another model")
    # Copied: safetensors refuses tensors that share memory, as tied weights do.
    return {str(name): value.detach().clone().contiguous() for name, value in loaded.items()}
