"""Writes the files that other runtimes read, with sentence-transformers' own exporters:
`export.py onnx|openvino MODEL OUT TEXTS`. Run once, before anything is timed."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path


def export_onnx(model: str, out: str) -> None:
    library = import_module("sentence_transformers")
    loaded = library.SentenceTransformer(model, backend="onnx", device="cpu", model_kwargs={"export": True})
    loaded.save_pretrained(out)
    backend = import_module("sentence_transformers.backend")
    backend.export_dynamic_quantized_onnx_model(loaded, "avx512_vnni", out)


def export_openvino(model: str, out: str, texts: str) -> None:
    """int8 is calibrated on `texts`, a JSON list: the default is a data set of the hub, with other texts."""
    library = import_module("sentence_transformers")
    loaded = library.SentenceTransformer(model, backend="openvino", device="cpu", model_kwargs={"export": True})
    loaded.save_pretrained(out)
    samples = Path(out).parent / "calibration"
    samples.mkdir(exist_ok=True)
    rows = [json.dumps({"sentence": text}) for text in json.loads(Path(texts).read_text())]
    (samples / "train.jsonl").write_text("\n".join(rows))
    backend = import_module("sentence_transformers.backend")
    backend.export_static_quantized_openvino_model(
        loaded,
        None,
        out,
        dataset_name=str(samples),
        dataset_config_name="default",
        dataset_split="train",
        column_name="sentence",
    )


def main(runtime: str, model: str, out: str, texts: str) -> None:
    shutil.rmtree(out, ignore_errors=True)
    export_onnx(model, out) if runtime == "onnx" else export_openvino(model, out, texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
