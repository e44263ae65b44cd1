"""The contestants, one line each. A new one takes a file in `peers/`, pinned requirements, and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Contestant:
    """`environment` names its requirements file, "" for the project's own; `exports` is the runtime whose
    files it reads, if any; `batches` says whether it has a batch size to tune."""

    name: str
    title: str
    script: str
    variant: str
    precision: str
    environment: str = ""
    exports: str = ""
    batches: bool = True

    @property
    def ours(self) -> bool:
        return not self.environment

    @property
    def floating(self) -> bool:
        return self.precision != "int8"


OURS: Final = "ours-auto"
BASE: Final = "st-fp32"
TRUTH: Final = "transformers-fp32"
"""The contestant whose vectors the others' are compared with."""


def _ours(variant: str, precision: str) -> Contestant:
    title = f"tasb-qdrant, {variant}"
    return Contestant(f"ours-{variant}", title, "run_tasb_qdrant", variant, precision, batches=False)


def _st(name: str, title: str, variant: str, precision: str, environment: str = "", exports: str = "") -> Contestant:
    title = f"sentence-transformers {title}"
    environment = environment or "sentence-transformers"
    return Contestant(name, title, "run_sentence_transformers", variant, precision, environment, exports)


def _transformers(precision: str) -> Contestant:
    name, title = f"transformers-{precision}", f"transformers {precision}"
    return Contestant(name, title, "run_transformers", precision, precision, "sentence-transformers")


def cpu_contestants(*, bf16: bool) -> tuple[Contestant, ...]:
    """`bf16` says whether float models run in bf16 by default, as they do on a CPU that multiplies in it."""
    fast = "bf16" if bf16 else "fp32"
    return (
        _ours("auto", fast),
        *([_ours("fp32", "fp32")] if bf16 else []),
        _ours("int8", "int8"),
        _st(BASE, "fp32", "fp32", "fp32"),
        _st("st-bf16", "bf16", "bf16", "bf16"),
        _st("st-onnx", "ONNX fp32", "onnx", "fp32", "onnx", "onnx"),
        _st("st-onnx-int8", "ONNX int8", "onnx-int8", "int8", "onnx", "onnx"),
        _st("st-openvino", f"OpenVINO, its default ({fast})", "openvino", fast, "openvino", "openvino"),
        _st("st-openvino-fp32", "OpenVINO fp32", "openvino-fp32", "fp32", "openvino", "openvino"),
        _st("st-openvino-int8", "OpenVINO int8", "openvino-int8", "int8", "openvino", "openvino"),
        Contestant("fastembed", "fastembed", "run_fastembed", "fp32", "fp32", "fastembed", "onnx"),
        _transformers("fp32"),
        _transformers("bf16"),
        Contestant("langchain", "LangChain HuggingFaceEmbeddings", "run_langchain", "fp32", "fp32", "langchain"),
    )


def cuda_contestants() -> tuple[Contestant, ...]:
    return (
        _ours("auto", "fp16"),
        _ours("bf16", "bf16"),
        _st(BASE, "fp32", "fp32", "fp32"),
        _st("st-fp16", "fp16", "fp16", "fp16"),
        _st("st-bf16", "bf16", "bf16", "bf16"),
        _transformers("fp32"),
        _transformers("fp16"),
    )
