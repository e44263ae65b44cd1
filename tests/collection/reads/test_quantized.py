"""Reads of quantized vectors: scores are the real vectors' unless somebody wants them otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions
from tests.collection.helpers import Place, fill, random_vectors


def test_real_vectors_score_what_quantized_ones_chose_unless_told_otherwise(place: Place) -> None:
    with place.collection(dim=64, quantization="int8", indexing_threshold_kb=1) as collection:
        vectors = fill(collection, 500)
        collection.optimize()
        query = random_vectors(1, 64, seed=5)[0]
        real = vectors @ query
        options = QueryOptions(limit=10, payload=False)

        def scores(options: QueryOptions) -> tuple[list[float], list[float]]:
            """Those found, and what they should be."""
            opened: OpenCollection = collection  # type: ignore[assignment]  # as the stores open it
            (found,) = opened.reads.query([Nearest(query)], options)
            return [point.score for point in found], [float(real[int(point.id)]) for point in found]

        for kept in (options, replace(options, exact=True), replace(options, oversampling=8.0)):
            given, expected = scores(kept)
            assert given == pytest.approx(expected, rel=1e-4)
            assert set(expected) == set(np.sort(real)[-10:].tolist())
        given, expected = scores(replace(options, rescore=False))
        assert given != pytest.approx(expected, rel=1e-4)
        assert given == pytest.approx(expected, rel=0.1)
