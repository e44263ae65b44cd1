"""How a person, or a collection's contract, wants a model's vectors, where that differs from what its files say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tasb_qdrant.encoder.model.chain import final_dim
from tasb_qdrant.encoder.model.layout import Layout
from tasb_qdrant.errors import ModelError, SettingsError
from tasb_qdrant.records import ModelContract

_SAYS_DOT: Final = re.compile(r"(?<![a-z])dot(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wishes:
    """None leaves the choice to the model's files. `lenient` takes a `dim` that the model doesn't have as no wish."""

    normalize: bool | None = None
    dim: int | None = None
    query_prompt: str | None = None
    passage_prompt: str | None = None
    lenient: bool = False

    def check(self) -> None:
        """Raise SettingsError for an invalid value."""
        if self.dim is not None and (type(self.dim) is not int or self.dim < 1):
            raise SettingsError(f"dim must be a whole number of at least 1, found {self.dim!r}")

    def completed(self, contract: ModelContract) -> Wishes:
        """What isn't wished for is as in `contract`: whoever reads a collection encodes as its writers did."""
        own_dim = self.dim is None
        return Wishes(
            contract.normalized if self.normalize is None else self.normalize,
            contract.dim if own_dim else self.dim,
            contract.query_prompt if self.query_prompt is None else self.query_prompt,
            contract.passage_prompt if self.passage_prompt is None else self.passage_prompt,
            lenient=own_dim,
        )


def adapted(layout: Layout, wishes: Wishes, *, name: str) -> Layout:
    """`layout` as `wishes` and the similarity that the model declares want it; `name` is the model's.

    Raises ModelError for what can't be followed.
    """
    query = layout.query_prompt if wishes.query_prompt is None else wishes.query_prompt
    passage = layout.passage_prompt if wishes.passage_prompt is None else wishes.passage_prompt
    if layout.leaves_prompt_out and layout.pooling == "mean" and (query or passage):
        raise ModelError(
            f"the pooling of {layout.transformer} leaves the prompt out of the mean (include_prompt), which is not "
            "supported; choose another --model, or give --query-prompt '' --passage-prompt ''"
        )
    normalized, notes = _normalized(layout, wishes.normalize, name)
    return replace(
        layout,
        normalized=normalized,
        query_prompt=query,
        passage_prompt=passage,
        dim=layout.dim if wishes.dim is None else wishes.dim,
        dim_required=wishes.dim is not None and not wishes.lenient,
        notes=(*_pooling_note(layout, as_modules=normalized == layout.normalized), *layout.notes, *notes),
    )


def _pooling_note(layout: Layout, *, as_modules: bool) -> tuple[str, ...]:
    if not layout.modules:
        return ()
    how = "" if not as_modules else ", normalised" if layout.normalized else ", not normalised"
    return (f"Pooling is {layout.modules}{how}, as the model's modules.json says.",)


def with_dim(layout: Layout, pooled: int) -> Layout:
    """`layout` with a `dim` only where its vectors, pooled from `pooled` numbers, have more.

    Raises SettingsError if they have fewer than was asked for, CorruptModelError if its modules don't go together.
    """
    whole = final_dim(layout.steps, pooled, folder=layout.transformer)
    if layout.dim is None or layout.dim == whole:
        return replace(layout, dim=None)
    if layout.dim > whole:
        if layout.dim_required:
            raise SettingsError(f"the model's vectors have {whole} numbers, and dim asks for {layout.dim}; give less")
        return replace(layout, dim=None)
    again = ", then normalised" if layout.normalized else ""
    note = f"Vectors are cut to the first {layout.dim} of {whole} numbers{again}."
    return replace(layout, notes=(*layout.notes, note))


def _normalized(layout: Layout, wish: bool | None, name: str) -> tuple[bool, tuple[str, ...]]:
    """(whether vectors are normalised at the end, why, where that isn't what the modules say).

    "cosine" alone proves little: sentence-transformers writes it even where nobody chose. Models trained for dot
    products, such as TAS-B, pool by CLS as a rule, or say dot in their names; for those it isn't taken at its word.
    """
    if wish is not None:
        if wish == layout.normalized:
            return wish, ()
        how = "normalised" if wish else "not normalised"
        return wish, (f"Vectors are {how}, as was asked, though the model's modules say otherwise.",)
    declared = layout.similarity
    if layout.normalized or declared in ("", "dot", "dot_score", "dot_product"):
        return layout.normalized, ()
    if declared not in ("cosine", "cos_sim"):
        raise ModelError(
            f"the model {name} declares the similarity {declared!r} (similarity_fn_name), and collections here are "
            "searched by dot product; give --normalize for cosine, --no-normalize for plain dot products, "
            "or choose another --model"
        )
    reason = _doubt(layout, name)
    if not reason:
        note = (
            "Vectors are normalised, so that dot products rank as cosine does: the model declares cosine "
            "similarity. --no-normalize leaves them as they are."
        )
        return True, (note,)
    note = (
        "The cosine similarity that the model declares is not followed: libraries write it even where nobody chose, "
        f"and {reason}. --normalize follows it."
    )
    return False, (note,)


def _doubt(layout: Layout, name: str) -> str:
    """Why "cosine" is likely nobody's choice, or ""."""
    if layout.pooling == "cls":
        return "the model pools by CLS, as TAS-B and others trained for dot products do"
    return f"the model's name says dot ({Path(name).name})" if _SAYS_DOT.search(Path(name).name) else ""
