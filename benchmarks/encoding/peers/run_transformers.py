"""Plain transformers: texts sorted by length, padded batches, the first token's vector."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Transformers:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._model, self._device, self._dtype = model, device, DTYPES[variant]

    def load(self, *, threads: int) -> None:
        if threads:
            import_module("torch").set_num_threads(threads)
        library = import_module("transformers")
        self._tokenizer = library.AutoTokenizer.from_pretrained(self._model)
        self._loaded = library.AutoModel.from_pretrained(self._model, dtype=self._dtype).to(self._device).eval()

    def passages(self, texts: list[str], *, batch: int) -> Any:
        torch = import_module("torch")
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        vectors = np.empty((len(texts), self._loaded.config.hidden_size), dtype=np.float32)
        size = batch or 32
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            inputs = self._tokenizer(
                [texts[index] for index in chunk], padding=True, truncation=True, max_length=512, return_tensors="pt"
            )
            with torch.inference_mode():
                found = self._loaded(**inputs.to(self._device)).last_hidden_state[:, 0]
            vectors[chunk] = found.float().cpu().numpy()
        return vectors

    def query(self, text: str) -> Any:
        return self.passages([text], batch=1)


CONTESTANT = Transformers
