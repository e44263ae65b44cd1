"""An encoder that is loaded when it first has something to encode."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasb_qdrant.encoder.protocol import Encoder, TokenBatch
from tasb_qdrant.forks import Origin
from tasb_qdrant.records import ModelContract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LazyEncoder:
    """The encoder that `load` returns, once it is needed; until then `contract` stands for its own.

    Safe to use from several threads: one of them loads, and the others wait. What `load` raises is raised where
    something was to be encoded, and the next one tries again.
    """

    def __init__(self, contract: ModelContract, load: Callable[[], Encoder]) -> None:
        self._contract = contract
        self._load = load
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()
        self._origin = Origin()

    @property
    def is_loaded(self) -> bool:
        """Whether anything had to be encoded."""
        return self._encoder is not None

    def loaded(self) -> Encoder:
        """The encoder itself, loaded now if it isn't yet."""
        if self._encoder is not None:
            return self._encoder
        if self._origin.is_elsewhere:  # where another thread may have held the lock when this process was made
            self._origin, self._lock = Origin(), threading.Lock()
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    @property
    def contract(self) -> ModelContract:
        """The loaded encoder's, else the one that it is known to have, with no precision: the hardware isn't chosen."""
        return self._contract if self._encoder is None else self._encoder.contract

    @property
    def device(self) -> str:
        """Where the forward pass runs, or "" before there is one."""
        return "" if self._encoder is None else self._encoder.device

    @property
    def notes(self) -> tuple[str, ...]:
        """The loaded encoder's."""
        return () if self._encoder is None else self._encoder.notes

    def tokenize_passages(self, texts: Sequence[str]) -> TokenBatch:
        """As `Encoder.tokenize_passages`, like the others below."""
        return self.loaded().tokenize_passages(texts)

    def encode_tokens(
        self, tokens: TokenBatch, *, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """As there."""
        return self.loaded().encode_tokens(tokens, on_progress=on_progress)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As there."""
        return self.loaded().encode_passages(texts)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As there."""
        return self.loaded().encode_queries(texts)
