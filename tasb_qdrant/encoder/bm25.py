"""BM25 sparse vectors from Qdrant's own implementation, equal to those of `qdrant/bm25` with the same settings.

The engine holds the GIL for each text: 20 µs for a passage of 340 characters, 80 for one of 1,250.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
import qdrant_edge as edge

from tasb_qdrant.encoder.tokenize.tokens import check_texts
from tasb_qdrant.records.sparse import SparseVector, SparseVectors
from tasb_qdrant.settings import DEFAULT_AVG_LEN, Bm25Settings

_MANY: Final = 1e6
"""With this k, and b = 0, a word that occurs n times has the value n * (k + 1) / (n + k), which is nearly n."""


class Bm25Encoder:
    """Sparse vectors of passages and queries. Safe to call from several threads, which take turns.

    Both stores multiply a query's values by the rarity of the words (the IDF modifier).
    """

    def __init__(self, settings: Bm25Settings) -> None:
        self.settings = settings
        self._model = edge.Bm25(_config(settings, k=settings.k, b=settings.b, avg_len=settings.avg_len))
        self._counting = edge.Bm25(_config(settings, k=_MANY, b=0.0, avg_len=1.0))

    def encode_passages(self, texts: Sequence[str]) -> SparseVectors:
        """A weight for each term of each text, by its frequency and the text's length; empty if no term is left."""
        check_texts(texts)
        found = [self._model.embed_document(text) for text in texts]
        rows = [vector.indices for vector in found]
        offsets = np.zeros(len(found) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        total = int(offsets[-1])
        return SparseVectors(
            np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=total),
            np.fromiter(chain.from_iterable(vector.values for vector in found), dtype=np.float32, count=total),
            offsets,
        )

    def encode_query(self, text: str) -> SparseVector:
        """Each distinct term of the text with the value 1; empty if no term is left."""
        check_texts([text])
        found = self._model.embed_query(text)
        return SparseVector(np.array(found.indices, dtype=np.uint32), np.array(found.values, dtype=np.float32))

    def words(self, text: str) -> int:
        """The length of a passage as `avg_len` counts it: without stopwords, and with every repetition counted."""
        values = self._counting.embed_document(text).values
        return sum(round(_MANY * value / (_MANY + 1 - value)) for value in values)


def _config(settings: Bm25Settings, *, k: float, b: float, avg_len: float | None) -> edge.Bm25Config:
    """Language "none" is expressed the way Qdrant advises: no stopwords and no stemmer."""
    plain = settings.language == "none"
    return edge.Bm25Config(
        k=k,
        b=b,
        avg_len=DEFAULT_AVG_LEN if avg_len is None else avg_len,
        tokenizer=edge.TokenizerType.Multilingual if settings.words_by == "multilingual" else edge.TokenizerType.Word,
        language=None if plain else settings.language,
        ascii_folding=settings.ascii_folding,
        stopwords=edge.StopwordsSet() if plain or not settings.stopwords else None,
        stemmer=edge.DisabledStemmer() if plain or not settings.stemmer else None,
    )
