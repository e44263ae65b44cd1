"""A contestant without a model, and three that fail: what `benchmarks.encoding.peers.serving` runs."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np


class Fake:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._variant = variant
        print("a library says hello")

    def load(self, *, threads: int) -> None:
        print("loading, on stdout")
        if self._variant == "broken":
            raise OSError("first line\nno weights here")
        if self._variant == "dead":
            print("Illegal instruction", file=sys.stderr, flush=True)
            os._exit(3)

    def passages(self, texts: list[str], *, batch: int) -> Any:
        return np.array([[len(text), batch] for text in texts], dtype=np.float64)

    def query(self, text: str) -> Any:
        return self.passages([text], batch=1)[0]


CONTESTANT = Fake
