"""This project, like any other contestant: `load_encoder` and the encoder's two verbs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class TasbQdrant:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._model, self._device, self._precision = model, device, variant

    def load(self, *, threads: int) -> None:
        if threads:
            import_module("torch").set_num_threads(threads)
        load_encoder = import_module("tasb_qdrant.encoder").load_encoder
        self._loaded = load_encoder(self._model, device=self._device, precision=self._precision)

    def passages(self, texts: list[str], *, batch: int) -> Any:
        """`batch` is always 0: the encoder's own choice is what is measured."""
        return self._loaded.encode_passages(texts)

    def query(self, text: str) -> Any:
        return self._loaded.encode_queries([text])


CONTESTANT = TasbQdrant
