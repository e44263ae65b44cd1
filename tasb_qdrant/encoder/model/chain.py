"""The modules that a model chains after its pooling: what is followed, and what is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.model.json_files import Module, read_object
from tasb_qdrant.errors import CorruptModelError, ModelError

ACTIVATIONS: Final = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
"""Activations of a Dense module, by the names of torch's classes, with their defaults."""

_MODES: Final = "Transformer, Pooling, then any of Dense, LayerNorm, Normalize and Dropout"
_EMBEDDING: Final = (None, "sentence_embedding")


@dataclass(frozen=True, slots=True)
class Dense:
    """`activation(weight @ vector + bias)`; its weights are in `folder`."""

    folder: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str

    def __str__(self) -> str:
        return "Dense" if self.activation == "Identity" else f"Dense({self.activation})"


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """A LayerNorm of the vector; its weights are in `folder`."""

    folder: Path
    dim: int

    def __str__(self) -> str:
        return "LayerNorm"


@dataclass(frozen=True, slots=True)
class Normalize:
    """To length 1, in the middle of a chain."""

    def __str__(self) -> str:
        return "Normalize"


Step = Dense | LayerNorm | Normalize


def read_steps(modules: Sequence[Module], where: Path) -> tuple[tuple[Step, ...], bool]:
    """(what happens to a pooled vector, whether it is normalised at the end) according to the `modules` in `where`.

    Raises ModelError for a chain or a module that isn't supported, CorruptModelError.
    """
    kinds = [module.kind for module in modules]
    if "Router" in kinds or "Asym" in kinds:
        raise ModelError(
            f"{where} holds a {'Router' if 'Router' in kinds else 'Asym'}, which encodes queries and passages by "
            "different models, which is not supported; choose a model with one encoder for both with --model"
        )
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise ModelError(
            f"{where} chains {', '.join(kinds) or 'nothing'}; supported are {_MODES}; choose another --model"
        )
    steps = [step for module in modules[2:] if (step := _step(module, where)) is not None]
    normalized = False
    while steps and isinstance(steps[-1], Normalize):
        steps.pop()
        normalized = True
    return tuple(steps), normalized


def final_dim(steps: Sequence[Step], dim: int, *, folder: Path) -> int:
    """How many numbers a vector has after `steps`, of `dim` pooled ones. Raises CorruptModelError."""
    for step in steps:
        expects = step.inputs if isinstance(step, Dense) else step.dim if isinstance(step, LayerNorm) else dim
        if expects != dim:
            raise CorruptModelError(
                f"the {step} module of {folder} expects vectors of {expects} numbers, and gets {dim}; "
                "get the model again"
            )
        if isinstance(step, Dense):
            dim = step.outputs
    return dim


def _step(module: Module, where: Path) -> Step | None:
    """None for a module that changes nothing outside training."""
    if module.kind == "Dropout":
        return None
    if module.kind == "Normalize":
        return Normalize()
    if module.kind == "Dense":
        return _dense(module.folder)
    if module.kind == "LayerNorm":
        return LayerNorm(module.folder, _size(module.folder, "dimension"))
    raise ModelError(
        f"{where} chains the module {module.kind}, which is not supported; supported are {_MODES}; "
        "choose another --model"
    )


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = read_object(path)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rpartition(".")[2]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise ModelError(
            f"{path} asks for the activation {activation!r}; supported are torch's {', '.join(ACTIVATIONS)}; "
            "choose another --model"
        )
    for key, usual in (("module_input_name", _EMBEDDING), ("module_output_name", _EMBEDDING)):
        if config.get(key) not in usual:
            raise ModelError(
                f"{path} sets {key} to {config[key]!r}; supported is sentence_embedding; choose another --model"
            )
    if config.get("use_residual"):
        raise ModelError(f"{path} sets use_residual, which is not supported; choose another --model")
    bias = config.get("bias", True) is not False
    return Dense(folder, _size(folder, "in_features"), _size(folder, "out_features"), bias, name)


def _size(folder: Path, key: str) -> int:
    value = read_object(folder / "config.json").get(key)
    if type(value) is not int or value < 1:
        raise CorruptModelError(
            f"{folder / 'config.json'} has a {key} of {value!r}; expected a positive number; get the file again"
        )
    return value
