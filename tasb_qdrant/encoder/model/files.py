"""A model's files, found and checked: what is wrong with them shows before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasb_qdrant.encoder.model.hub import HUB_TIMEOUT
from tasb_qdrant.encoder.model.layout import Layout, read_layout
from tasb_qdrant.encoder.model.resolve import ModelSource, resolve_model
from tasb_qdrant.encoder.model.weights import WeightFiles, find_weights


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model comes from, how it is meant to be used, and its weight files."""

    source: ModelSource
    layout: Layout
    weights: WeightFiles


def find_model(
    model: str | Path, *, allow_pickle: bool, revision: str | None = None, hub_timeout: float = HUB_TIMEOUT
) -> ModelFiles:
    """The files of `model`, downloaded if need be.

    Raises ModelNotFoundError, HubUnreachableError, UnsafeWeightsError, CorruptModelError, ModelError.
    """
    source = resolve_model(model, revision=revision, allow_pickle=allow_pickle, hub_timeout=hub_timeout)
    layout = read_layout(source.folder)
    return ModelFiles(source, layout, find_weights(layout.transformer, allow_pickle=allow_pickle))
