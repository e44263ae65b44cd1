"""fastembed with the same weights as a custom model, from the ONNX file that sentence-transformers exports."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

NAME = "benchmark/tas-b-like"


class FastEmbed:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._exports = exports
        self._registered = False

    def load(self, *, threads: int) -> None:
        kind = import_module("fastembed").TextEmbedding
        if not self._registered:
            described = import_module("fastembed.common.model_description")
            kind.add_custom_model(
                model=NAME,
                pooling=described.PoolingType.CLS,
                normalization=False,
                sources=described.ModelSource(hf=NAME),
                dim=768,
                model_file="onnx/model.onnx",
            )
            self._registered = True
        self._loaded = kind(model_name=NAME, threads=threads or None, specific_model_path=self._exports)

    def passages(self, texts: list[str], *, batch: int) -> Any:
        return np.array(list(self._loaded.embed(texts, batch_size=batch or 256)))

    def query(self, text: str) -> Any:
        return next(iter(self._loaded.query_embed(text)))


CONTESTANT = FastEmbed
