"""Where a cross-encoder's files are in its folder, and how sentence-transformers' files say to use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.encoder.model.bounds import check_files, check_sizes
from tasb_qdrant.encoder.model.json_files import read_modules, read_object
from tasb_qdrant.encoder.model.layout import (
    check_tokenizer,
    stated_length,
    transformer_settings,
)
from tasb_qdrant.encoder.model.resolve import Kind
from tasb_qdrant.errors import ModelError

_UNSUPPORTED: Final = ("quantization_config", "is_encoder_decoder")
_IN_ORDER: Final = ("Identity", "Sigmoid", "Softmax", "LogSoftmax", "Tanh")
"""Activations that don't change the order given by the logits, or by their difference."""


@dataclass(frozen=True, slots=True)
class ClassifierLayout:
    """Where the classifier's files are. `max_length` is what the layout says, or None.

    `own_code` says that config.json refers to the model's own code, which is never run.
    """

    folder: Path
    max_length: int | None
    own_code: bool
    notes: tuple[str, ...]


def classifier_folder(folder: Path) -> Path:
    """The folder in `folder` that holds the weights. Raises ModelError for a chain of modules."""
    if not (folder / "modules.json").is_file():
        return folder
    modules = read_modules(folder)
    if [module.kind for module in modules] != ["Transformer"]:
        raise ModelError(
            f"{folder / 'modules.json'} chains {', '.join(module.kind for module in modules) or 'nothing'}; "
            "a cross-encoder is a Transformer alone; choose another model"
        )
    return modules[0].folder


CLASSIFIER: Final = Kind(classifier_folder, needs_modules=False, pickle_option=False)


def read_classifier_layout(folder: Path) -> ClassifierLayout:
    """The layout of `folder`, checked to hold config.json and a tokenizer.

    Raises ModelNotFoundError naming a missing file, CorruptModelError for one that can't be read, ModelError for what
    isn't supported: a chain of modules, quantized weights, a prompt.
    """
    check_files(folder)
    inside = classifier_folder(folder)
    check_files(inside)
    config = read_object(inside / "config.json")
    check_sizes(inside, config)
    check_tokenizer(inside)
    for key in _UNSUPPORTED:
        if config.get(key):
            raise ModelError(f"{inside / 'config.json'} sets {key}, which is not supported; choose another model")
    path = folder / "config_sentence_transformers.json"
    settings = read_object(path) if path.is_file() else {}
    if settings.get("default_prompt_name"):
        raise ModelError(f"{path} sets default_prompt_name, which is not supported; choose another model")
    return ClassifierLayout(
        inside,
        max_length=stated_length(transformer_settings(inside), inside),
        own_code=bool(config.get("auto_map")),
        notes=_activation_note(config, settings),
    )


def _activation_note(config: dict[str, Any], settings: dict[str, Any]) -> tuple[str, ...]:
    """A note on the activation that the model asks for, under any of the three names it has had."""
    nested = config.get("sentence_transformers")
    stated = (
        settings.get("activation_fn"),
        nested.get("activation_fn") if isinstance(nested, dict) else None,
        config.get("sbert_ce_default_activation_function"),
    )
    name = next((str(name).rpartition(".")[2] for name in stated if name), "Identity")
    if name == "Identity":
        return ()
    order = "which doesn't change the order" if name in _IN_ORDER else "which may change the order"
    return (f"Scores are logits: the model's own activation, {name}, is not applied, {order}.",)
