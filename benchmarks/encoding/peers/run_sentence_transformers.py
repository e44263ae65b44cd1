"""sentence-transformers with one of its backends, as its page "Speeding up Inference" says."""

from __future__ import annotations

from importlib import import_module
from typing import Any

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
ONNX_FILES = {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_qint8_avx512_vnni.onnx"}
OPENVINO_FILES = {"openvino-int8": "openvino/openvino_model_qint8_quantized.xml"}
OPENVINO_HINTS = {"openvino-fp32": "f32"}


class SentenceTransformers:
    def __init__(self, *, model: str, device: str, exports: str, variant: str) -> None:
        self._model, self._device, self._exports, self._variant = model, device, exports, variant

    def load(self, *, threads: int) -> None:
        if threads:
            import_module("torch").set_num_threads(threads)
        kind = import_module("sentence_transformers").SentenceTransformer
        if self._variant.startswith("onnx"):
            self._loaded = kind(self._exports, backend="onnx", device="cpu", model_kwargs=self._onnx(threads))
        elif self._variant.startswith("openvino"):
            self._loaded = kind(self._exports, backend="openvino", device="cpu", model_kwargs=self._openvino(threads))
        elif self._variant == "fp32":
            self._loaded = kind(self._model, device=self._device)
        else:
            self._loaded = kind(self._model, device=self._device, model_kwargs={"dtype": DTYPES[self._variant]})

    def _onnx(self, threads: int) -> dict[str, Any]:
        options = import_module("onnxruntime").SessionOptions()
        options.intra_op_num_threads = threads  # 0 is its own choice
        name = ONNX_FILES[self._variant]
        return {"file_name": name, "provider": "CPUExecutionProvider", "session_options": options}

    def _openvino(self, threads: int) -> dict[str, Any]:
        config = {"INFERENCE_NUM_THREADS": str(threads)} if threads else {}
        if self._variant in OPENVINO_HINTS:
            config["INFERENCE_PRECISION_HINT"] = OPENVINO_HINTS[self._variant]
        name = OPENVINO_FILES.get(self._variant, "openvino/openvino_model.xml")
        return {"file_name": name, "ov_config": config}

    def passages(self, texts: list[str], *, batch: int) -> Any:
        return self._loaded.encode(texts, batch_size=batch or 32, show_progress_bar=False)

    def query(self, text: str) -> Any:
        return self._loaded.encode(text, show_progress_bar=False)


CONTESTANT = SentenceTransformers
