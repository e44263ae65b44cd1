"""A model's files, found and checked: what is wrong with them shows before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tasb_qdrant.encoder.model import adapter as lora
from tasb_qdrant.encoder.model.adapter import Adapter
from tasb_qdrant.encoder.model.bounds import check_weights
from tasb_qdrant.encoder.model.chain import Normalize
from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT
from tasb_qdrant.encoder.model.layout import Layout, check_tokenizer, has_tokenizer, read_layout
from tasb_qdrant.encoder.model.resolve import ENCODER, ModelSource, resolve_model
from tasb_qdrant.encoder.model.weights import WeightFiles, find_weights
from tasb_qdrant.encoder.model.wishes import Wishes, adapted
from tasb_qdrant.errors import ModelError, ModelNotFoundError


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model comes from, how it is meant to be used, and its weight files.

    `adapter` has the weights of a LoRA adapter, or nothing; `steps` those of each of the layout's steps.
    """

    source: ModelSource
    layout: Layout
    weights: WeightFiles
    adapter: WeightFiles | None = None
    steps: tuple[WeightFiles | None, ...] = ()

    @property
    def hashed(self) -> tuple[Path, ...]:
        """Every file that makes the vectors what they are, in a fixed order."""
        adapter: tuple[Path, ...] = ()
        if self.adapter is not None and self.layout.adapter is not None:
            adapter = (*self.adapter.files, self.layout.adapter.folder / lora.CONFIG)  # the second has the scale
        return (*self.weights.files, *adapter, *(path for found in self.steps if found for path in found.files))


def find_model(
    model: str | Path,
    *,
    allow_pickle: bool,
    revision: str | None = None,
    hub_timeout: float = HUB_TIMEOUT,
    wishes: Wishes | None = None,
    name: str = "",
    sha256: str = "",
    hub_only: bool = False,
) -> ModelFiles:
    """The files of `model`, downloaded if need be, used as `wishes` say. `name` is the model's where `model` is only
    the folder that it was found in; `sha256` and `hub_only` are as in `resolve_model`.

    Raises ModelNotFoundError, HubUnreachableError, UnsafeWeightsError, CorruptModelError, ModelError.
    """
    source = resolve_model(
        model,
        revision=revision,
        allow_pickle=allow_pickle,
        hub_timeout=hub_timeout,
        sha256=sha256,
        hub_only=hub_only,
    )
    layout = adapted(read_layout(source.folder), wishes or Wishes(), name=name or source.id)
    weights, adapter = find_weights(layout.transformer, allow_pickle=allow_pickle), None
    if layout.adapter is not None:
        layout = _based(
            layout, layout.adapter, allow_pickle=allow_pickle, hub_timeout=hub_timeout, hub_only=bool(source.commit)
        )
        adapter, weights = weights, find_weights(layout.transformer, allow_pickle=allow_pickle)
    check_weights(layout.transformer, weights)
    steps = tuple(
        None if isinstance(step, Normalize) else find_weights(step.folder, allow_pickle=allow_pickle)
        for step in layout.steps
    )
    return ModelFiles(source, layout, weights, adapter, steps)


def _based(layout: Layout, adapter: Adapter, *, allow_pickle: bool, hub_timeout: float, hub_only: bool) -> Layout:
    """`layout` with the transformer of the adapter's base. Raises what find_model does."""
    base = _base(adapter, allow_pickle=allow_pickle, hub_timeout=hub_timeout, hub_only=hub_only)
    found = read_layout(base.folder)
    if found.adapter is not None:
        raise ModelError(f"{adapter.folder} is an adapter of another adapter, {adapter.base}; merge that one first")
    tokenizer = adapter.folder if has_tokenizer(adapter.folder) else found.transformer
    check_tokenizer(tokenizer)
    note = f"The LoRA adapter {adapter.folder} is merged into its base, {base.id}."
    return replace(layout, transformer=found.transformer, tokenizer=tokenizer, notes=(*layout.notes, note))


def _base(adapter: Adapter, *, allow_pickle: bool, hub_timeout: float, hub_only: bool) -> ModelSource:
    """Where the base is: a folder, seen from here or from the adapter's folder, or on the hub; that of an adapter from
    the hub is there, too."""
    beside = adapter.folder / adapter.base
    is_beside = not hub_only and beside.is_dir() and not Path(adapter.base).is_dir()
    model = str(beside) if is_beside else adapter.base
    kind = replace(ENCODER, needs_modules=False)  # only its weights are used
    try:
        return resolve_model(
            model,
            revision=adapter.revision,
            allow_pickle=allow_pickle,
            hub_timeout=hub_timeout,
            kind=kind,
            hub_only=hub_only,
        )
    except ModelNotFoundError as error:
        raise _without_base(adapter, error) from error
    except ModelError as error:
        raise type(error)(str(_without_base(adapter, error))) from error


def _without_base(adapter: Adapter, error: ModelError) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{adapter.folder} is a LoRA adapter, and its base model {adapter.base!r} can't be loaded: {error}. Set "
        f"base_model_name_or_path in {lora.CONFIG} to the base's folder or hub id, or merge the two "
        "(peft's merge_and_unload) and give that folder"
    )
