"""Who brings an encoder of their own needs neither torch nor transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None  # as if they were not installed

import numpy as np

from tasb_qdrant import Passage, Searcher, ingest
from tasb_qdrant.encoder import TokenBatch
from tasb_qdrant.records import ModelContract

class Own:
    contract = ModelContract("own", "0" * 64, "cls", False, "Dot", 4, 512, "fp32", "", "", "0")
    device, notes, truncated = "elsewhere", (), 0
    def tokenize_passages(self, texts):
        return TokenBatch.of([np.ones(1, np.int32)] * len(texts))
    def encode_tokens(self, tokens, on_progress=None):
        return np.ones((len(tokens), 4), np.float32)
    def encode_passages(self, texts):
        return np.ones((len(texts), 4), np.float32)
    encode_queries = encode_passages

ingest([Passage("a", "A text.")], collection="c", path=sys.argv[1], encoder=Own())
with Searcher("c", path=sys.argv[1], encoder=Own()) as searcher:
    print([hit.id for hit in searcher.search("a query")])
"""


def test_a_search_and_an_ingest_with_a_given_encoder_import_neither(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "['a']"), done.stderr
