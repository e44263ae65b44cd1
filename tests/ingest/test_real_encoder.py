"""Once with a trained model: what is stored is what the encoder makes of title and text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasb_qdrant.demo import EXAMPLES
from tasb_qdrant.encoder import load_encoder
from tasb_qdrant.ingest import ingest
from tasb_qdrant.sources import open_sources
from tests.ingest import stored
from tests.models import minilm_folder


def test_the_bundled_corpus_is_stored_with_the_vectors_of_its_passages(tmp_path: Path) -> None:
    encoder = load_encoder(minilm_folder(), device="cpu", precision="fp32")
    report = ingest(EXAMPLES / "passages.jsonl", collection="c", path=tmp_path, encoder=encoder)
    with open_sources([EXAMPLES / "passages.jsonl"]) as reader:
        passages = list(reader)
    assert report.stored == report.points == len(passages)
    there = stored.embedded(tmp_path)
    some = passages[::20]
    vectors = encoder.encode_passages([passage.encoder_text for passage in some])
    for passage, vector in zip(some, vectors, strict=True):
        payload, found = there[str(passage.point_id)]
        np.testing.assert_allclose(found, vector, atol=1e-5)
        assert payload["text"] == passage.text
    assert set(report.stages) >= {"read", "tokenize", "encode", "upload"}
    assert report.model == encoder.contract.model
