"""TAS-B itself gives the published vectors and scores, wherever its weights are present."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest

from tasb_qdrant.encoder import Encoder, load_encoder
from tasb_qdrant.encoder.model import hub
from tasb_qdrant.encoder.model.resolve import ORIGINAL, PORT
from tests.encoder.conftest import SHARED_DATA


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    path = SHARED_DATA / "golden" / "tasb_golden.json"
    if not path.is_file():
        pytest.skip(f"no golden values at {path}; set TASB_QDRANT_DATA to their folder")
    values: dict[str, Any] = json.loads(path.read_text())
    return values


@pytest.fixture(scope="module")
def tas_b() -> Encoder:
    """The real weights in fp32, without downloading them: from a folder, or from the hub's cache."""
    model = os.environ.get("TASB_QDRANT_TEST_MODEL")
    if model is None and not any(hub.cached_folder(repo, None) for repo in (PORT, ORIGINAL)):
        pytest.skip("no TAS-B weights in the hub's cache; set TASB_QDRANT_TEST_MODEL to their folder")
    return load_encoder(model or "tas-b", device="cpu", precision="fp32")


def test_the_authors_own_scores_are_reproduced(tas_b: Encoder, golden: dict[str, Any]) -> None:
    pairs = golden["encode_pairs_notebook"]
    query = tas_b.encode_queries([pairs["query"]])[0]
    scores = tas_b.encode_passages([pairs["passage1"], pairs["passage2"]]) @ query
    np.testing.assert_allclose(scores, [pairs["score_q_p1"], pairs["score_q_p2"]], atol=1e-3)


def test_a_whole_published_vector_is_reproduced(tas_b: Encoder, golden: dict[str, Any]) -> None:
    banana = golden["full_vector_banana"]
    np.testing.assert_allclose(tas_b.encode_passages([banana["passage"]])[0], banana["vector"], atol=1e-3)


def test_pyserinis_query_vectors_are_reproduced(tas_b: Encoder, golden: dict[str, Any]) -> None:
    for query in golden["pyserini_query_vectors"]["queries"]:
        vector = tas_b.encode_queries([query["text"]])[0]
        tolerance = 10.0 ** -query["places"]
        np.testing.assert_allclose(vector[[0, -1]], [query["first"], query["last"]], atol=tolerance)
