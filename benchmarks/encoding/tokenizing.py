"""Text to ids alone, ours against `encode_batch_fast`: `python -m benchmarks.encoding.tokenizing MODEL TEXTS ROUNDS`.

One thread each and CPU time, so that neither gains from a second core. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.encoding.results import Tokenizing
from benchmarks.running.environments import offline


def measure_tokenizing(model: Path, texts: Path, *, rounds: int, root: Path) -> Tokenizing:
    """In a separate process, whose tokenizers are limited to one thread."""
    command = [sys.executable, "-m", "benchmarks.encoding.tokenizing", str(model), str(texts), str(rounds)]
    variables = offline(PYTHONPATH=str(root), RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1")
    done = subprocess.run(command, cwd=root, env=variables, stdout=subprocess.PIPE, check=True)
    return TypeAdapter(Tokenizing).validate_json(done.stdout)


def tokenize(model: Path, texts: Sequence[str], rounds: int) -> Tokenizing:
    from tokenizers import Tokenizer

    from tasb_qdrant.encoder import load_encoder

    own = Tokenizer.from_file(str(model / "tokenizer.json"))
    own.no_padding()
    own.enable_truncation(512)
    cold, warm, theirs = [], [], []
    same = True
    for _ in range(rounds):
        encoder = load_encoder(model, device="cpu", precision="fp32")  # a new one starts with an empty word cache
        seconds, batch = cpu_seconds(lambda encoder=encoder: encoder.tokenize_passages(texts))  # type: ignore[misc]
        cold.append(seconds)
        seconds, encodings = cpu_seconds(lambda: own.encode_batch_fast(list(texts)))
        theirs.append(seconds)
        warm.append(cpu_seconds(lambda encoder=encoder: encoder.tokenize_passages(texts))[0])  # type: ignore[misc]
        same = same and all(np.array_equal(batch[i], encoding.ids) for i, encoding in enumerate(encodings))
    return Tokenizing(len(texts), cold, warm, theirs, same)


def cpu_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def main(model: str, texts: str, rounds: str) -> None:
    found = tokenize(Path(model), json.loads(Path(texts).read_text()), int(rounds))
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
