"""How a model is meant to be used, according to its folder: by sentence-transformers' files, if it has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from tasb_qdrant.encoder.model import adapter
from tasb_qdrant.encoder.model.adapter import Adapter, read_adapter
from tasb_qdrant.encoder.model.bounds import check_files, check_sizes
from tasb_qdrant.encoder.model.chain import Step, read_steps
from tasb_qdrant.encoder.model.declared import check_lengths, read_declared
from tasb_qdrant.encoder.model.json_files import read_modules, read_object
from tasb_qdrant.errors import CorruptModelError, ModelError, ModelNotFoundError

Pooling = Literal["cls", "mean"]

FAMILIES: Final = (
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "electra",
    "mpnet",
    "albert",
    "modernbert",
    "deberta",
    "deberta-v2",
    "mobilebert",
    "ernie",
    "megatron-bert",
    "rembert",
    "nomic_bert",
    "eurobert",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
)
"""Architectures (`model_type`) known to be encoders whose first token stands for the whole text. What isn't a plain
BERT or DistilBERT goes through transformers' own forward pass."""

_OLD_POOLING_KEYS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the transformer's files are, and how its output becomes a vector.

    `max_length` is what the layout says, or None; prompts are prepended to the text as they are. A pooled vector goes
    through `steps`, keeps its first `dim` numbers (None: all), and is normalised at the end if `normalized` says so.
    `tokenizer` is the folder of the tokenizer where that isn't `transformer`; `adapter` changes the weights there.
    `modules` describes pooling and steps, "" where no file does; `similarity` is what the files declare, "" if
    nothing; `leaves_prompt_out` says that the mean has no prompt in it, `dim_required` that a model without so many
    numbers is refused.
    """

    transformer: Path
    pooling: Pooling = "cls"
    normalized: bool = False
    max_length: int | None = None
    lowercase: bool = False
    query_prompt: str = ""
    passage_prompt: str = ""
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    dim: int | None = None
    dim_required: bool = False
    modules: str = ""
    similarity: str = ""
    leaves_prompt_out: bool = False
    tokenizer: Path | None = None
    adapter: Adapter | None = None

    @property
    def tokenizer_folder(self) -> Path:
        return self.tokenizer or self.transformer

    @property
    def ends_with_pooling(self) -> bool:
        """Whether pooling, and normalising after it, is all that happens to the transformer's output."""
        return not self.steps and self.dim is None


def read_layout(folder: Path) -> Layout:
    """The layout of `folder`, checked to hold config.json and a tokenizer of a known family.

    That of a LoRA adapter, which may have neither, isn't checked: its base has them.
    Raises ModelNotFoundError naming a missing file, CorruptModelError for one that can't be read, ModelError for
    what isn't supported: another pooling, another module, an unknown architecture.
    """
    check_files(folder)
    layout = _sentence_transformers(folder) if (folder / "modules.json").is_file() else _plain(folder)
    check_files(layout.transformer)
    if (layout.transformer / adapter.CONFIG).is_file():  # first, as for transformers
        return replace(layout, adapter=read_adapter(layout.transformer))
    config = read_object(layout.transformer / "config.json")
    check_tokenizer(layout.transformer)
    _check_architecture(config, layout.transformer)
    return layout


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))


def check_tokenizer(folder: Path) -> None:
    """Raise ModelNotFoundError unless `folder` holds a tokenizer."""
    if not has_tokenizer(folder):
        raise ModelNotFoundError(
            f"{folder} has no tokenizer: it needs tokenizer.json or vocab.txt; complete the folder"
        )


def _plain(folder: Path) -> Layout:
    note = "Pooling is CLS, not normalised, as TAS-B was trained: the model has no modules.json that says otherwise."
    return Layout(folder, notes=(note,))


def _sentence_transformers(folder: Path) -> Layout:
    modules = read_modules(folder)
    for module in modules:
        check_files(module.folder)
    steps, normalized = read_steps(modules, folder / "modules.json")
    transformer, pooling_folder = (module.folder for module in modules[:2])
    pooling_config = read_object(pooling_folder / "config.json")
    pooling = _pooling(pooling_config, pooling_folder)
    declared = read_declared(folder)
    settings = transformer_settings(transformer)
    check_lengths(settings, transformer / "sentence_bert_config.json")
    how = ", then ".join([{"cls": "CLS", "mean": "mean"}[pooling], *map(str, steps)])
    return Layout(
        transformer,
        pooling=pooling,
        normalized=normalized,
        max_length=stated_length(settings, transformer),
        lowercase=settings.get("do_lower_case") is True,
        query_prompt=declared.query_prompt,
        passage_prompt=declared.passage_prompt,
        notes=declared.notes,
        modules=how,
        steps=steps,
        dim=declared.dim,
        similarity=declared.similarity,
        leaves_prompt_out=not pooling_config.get("include_prompt", True),
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
    check_sizes(folder, config)
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"{folder / 'config.json'} describes the architecture {family!r}; "
            f"supported are {', '.join(FAMILIES)}; choose another --model"
        )
    for key in ("quantization_config", "is_decoder"):
        if config.get(key):
            raise ModelError(f"{folder / 'config.json'} sets {key}, which is not supported; choose another --model")
