"""What config_sentence_transformers.json says of a model: prompts, similarity, and how much of a vector is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasb_qdrant.encoder.model.json_files import read_optional
from tasb_qdrant.errors import CorruptModelError, ModelError

_PASSAGE_PROMPTS: Final = ("document", "passage", "corpus")
_LENGTHS: Final = ("query_length", "document_length", "query_expansion")


@dataclass(frozen=True, slots=True)
class Declared:
    """`similarity` is "" and `dim` None where nothing is said; prompts are "" where the model has none."""

    query_prompt: str = ""
    passage_prompt: str = ""
    similarity: str = ""
    dim: int | None = None
    notes: tuple[str, ...] = ()


def read_declared(folder: Path) -> Declared:
    """Raises CorruptModelError, and ModelError for a setting that isn't supported."""
    path = folder / "config_sentence_transformers.json"
    settings = read_optional(path)
    query, passage, notes = _prompts(settings, path)
    dim = settings.get("truncate_dim")
    if dim is not None and (type(dim) is not int or dim < 1):
        raise CorruptModelError(f"{path} has a truncate_dim of {dim!r}; expected a positive number; correct the file")
    return Declared(query, passage, str(settings.get("similarity_fn_name") or ""), dim, notes)


def check_lengths(settings: Mapping[str, Any], path: Path) -> None:
    """Raise ModelError for lengths that differ between queries and passages: all texts have one maximum here."""
    for name in _LENGTHS:
        if settings.get(name) is not None:
            raise ModelError(
                f"{path} sets {name} ({settings[name]!r}), which is not supported: queries and passages are read up "
                "to the same max_seq_length; set that instead in a copy of the folder, or choose another --model"
            )


def is_text(value: str) -> bool:
    """Whether the string can be encoded: half of a surrogate pair is no text."""
    return value.encode(errors="replace").decode() == value


def _prompts(settings: Mapping[str, Any], path: Path) -> tuple[str, str, tuple[str, ...]]:
    """(query prompt, passage prompt, notes)."""
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str | None) for p in prompts.values()):
        raise CorruptModelError(f"{path} must map prompt names to texts; get the file again")
    if bad := next((name for name, text in prompts.items() if not is_text(text or "")), None):
        raise CorruptModelError(f"{path} has a prompt {bad!r} with half of a surrogate pair; get the file again")
    query = prompts.get("query") or ""
    passage = next((prompts[name] for name in _PASSAGE_PROMPTS if prompts.get(name)), "")
    default = settings.get("default_prompt_name")
    if default is None or default in ("query", *_PASSAGE_PROMPTS):
        return query, passage, ()  # queries and passages have prompts of their own, which come first
    if not isinstance(default, str) or default not in prompts:
        raise CorruptModelError(
            f"{path} sets default_prompt_name to {default!r}, and has no such prompt; correct the file"
        )
    text = prompts[default] or ""
    if not text or (query and passage):
        return query, passage, ()
    note = f"The prompt {default!r} ({text!r}) is put before texts, as the model's default_prompt_name says."
    return query or text, passage or text, (note,)
