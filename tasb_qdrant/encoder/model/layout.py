"""How a model is meant to be used, according to its folder: by sentence-transformers' files, if it has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tasb_qdrant.errors import CorruptModelError, ModelError, ModelNotFoundError

Pooling = Literal["cls", "mean"]

FAMILIES: Final = ("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra")
"""Architectures (`model_type`) known to be encoders whose first token is CLS."""

_OLD_POOLING_KEYS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PASSAGE_PROMPTS: Final = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the transformer's files are, and how its output becomes a vector.

    `max_length` is what the layout says, or None; prompts are prepended to the text as they are.
    """

    transformer: Path
    pooling: Pooling = "cls"
    normalized: bool = False
    max_length: int | None = None
    lowercase: bool = False
    query_prompt: str = ""
    passage_prompt: str = ""
    notes: tuple[str, ...] = ()


def read_layout(folder: Path) -> Layout:
    """The layout of `folder`, checked to hold config.json and a tokenizer of a known family.

    Raises ModelNotFoundError naming a missing file, CorruptModelError for one that can't be read, ModelError for
    what isn't supported: another pooling, a Dense module, an unknown architecture.
    """
    layout = _sentence_transformers(folder) if (folder / "modules.json").is_file() else _plain(folder)
    config = read_object(layout.transformer / "config.json")
    check_tokenizer(layout.transformer)
    _check_architecture(config, layout.transformer)
    return layout


@dataclass(frozen=True, slots=True)
class Module:
    """One of the modules that sentence-transformers chains: its class name and its folder."""

    kind: str
    folder: Path


def read_modules(folder: Path) -> tuple[Module, ...]:
    """What modules.json in `folder` chains. Raises CorruptModelError."""
    try:
        parts = [(str(part["type"]), str(part["path"])) for part in read_json(folder / "modules.json")]
    except (TypeError, KeyError) as error:
        raise CorruptModelError(
            f"{folder / 'modules.json'} must list modules with type and path; get the file again"
        ) from error
    return tuple(Module(kind.rpartition(".")[2], _inside(folder, path)) for kind, path in parts)


def check_tokenizer(folder: Path) -> None:
    """Raise ModelNotFoundError unless `folder` holds a tokenizer."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise ModelNotFoundError(
            f"{folder} has no tokenizer: it needs tokenizer.json or vocab.txt; complete the folder"
        )


def _plain(folder: Path) -> Layout:
    note = "Pooling is CLS, not normalised, as TAS-B was trained: the model has no modules.json that says otherwise."
    return Layout(folder, notes=(note,))


def _sentence_transformers(folder: Path) -> Layout:
    modules = read_modules(folder)
    kinds = tuple(module.kind for module in modules)
    if kinds not in (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")):
        raise ModelError(
            f"{folder / 'modules.json'} chains {', '.join(kinds) or 'nothing'}; "
            "supported are Transformer, Pooling and optionally Normalize; choose another --model"
        )
    transformer, pooling_folder = (module.folder for module in modules[:2])
    pooling_config = read_object(pooling_folder / "config.json")
    pooling = _pooling(pooling_config, pooling_folder)
    query_prompt, passage_prompt = _prompts(folder)
    if pooling == "mean" and (query_prompt or passage_prompt) and not pooling_config.get("include_prompt", True):
        raise ModelError(
            f"{pooling_folder / 'config.json'} leaves the prompt out of the mean, which is not supported; "
            "choose another --model"
        )
    settings = transformer_settings(transformer)
    normalized = "Normalize" in kinds
    how = f"{'CLS' if pooling == 'cls' else 'mean'}, {'normalised' if normalized else 'not normalised'}"
    return Layout(
        transformer,
        pooling=pooling,
        normalized=normalized,
        max_length=stated_length(settings, transformer),
        lowercase=settings.get("do_lower_case") is True,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        notes=(f"Pooling is {how}, as the model's modules.json says.",),
    )


def _pooling(config: dict[str, Any], folder: Path) -> Pooling:
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key)] or ["mean"]
    elif isinstance(modes, str):
        modes = [modes]
    if modes == ["cls"]:
        return "cls"
    if modes == ["mean"]:
        return "mean"
    named = "+".join(str(mode) for mode in modes) if isinstance(modes, list) else repr(modes)
    raise ModelError(
        f"{folder / 'config.json'} asks for {named} pooling; supported are cls and mean; choose another --model"
    )


def _prompts(folder: Path) -> tuple[str, str]:
    """(query prompt, passage prompt), "" where the model has none."""
    path = folder / "config_sentence_transformers.json"
    prompts = (read_object(path).get("prompts") or {}) if path.is_file() else {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str | None) for p in prompts.values()):
        raise CorruptModelError(f"{path} must map prompt names to texts; get the file again")
    passage = next((prompts[name] for name in _PASSAGE_PROMPTS if prompts.get(name)), "")
    return prompts.get("query") or "", passage


def transformer_settings(transformer: Path) -> dict[str, Any]:
    """sentence_bert_config.json; older versions named it after the architecture instead of bert."""
    paths = sorted(transformer.glob("sentence_*_config.json"))
    return read_object(paths[0]) if paths else {}


def stated_length(settings: dict[str, Any], transformer: Path) -> int | None:
    """How many tokens the model reads according to `settings`, or None. Raises CorruptModelError."""
    value = settings.get("max_seq_length")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CorruptModelError(f"{transformer} has a max_seq_length of {value!r}; expected a positive number")
    return value


def _check_architecture(config: dict[str, Any], folder: Path) -> None:
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"{folder / 'config.json'} describes the architecture {family!r}; "
            f"supported are {', '.join(FAMILIES)}; choose another --model"
        )
    for key in ("quantization_config", "is_decoder"):
        if config.get(key):
            raise ModelError(f"{folder / 'config.json'} sets {key}, which is not supported; choose another --model")


def _inside(folder: Path, path: str) -> Path:
    """`folder / path`; a downloaded file must not point outside its folder."""
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts:
        raise CorruptModelError(f"{folder / 'modules.json'} points outside the folder ({path!r}); don't use this model")
    return folder / path


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelNotFoundError, CorruptModelError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise CorruptModelError(f"{path} must hold a JSON object, found {type(value).__name__}; get it again")
    return value


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ModelNotFoundError, CorruptModelError."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path.parent} has no {path.name}; complete the folder") from error
    except (ValueError, RecursionError) as error:  # ValueError: malformed JSON, or text that isn't UTF-8
        raise CorruptModelError(f"{path} is not valid JSON ({error}); get the file again") from error
    except OSError as error:
        raise ModelNotFoundError(f"{path} can't be read ({error.strerror}); check its permissions") from error
