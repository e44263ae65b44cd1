"""A small result, as a run would have measured it."""

from __future__ import annotations

from benchmarks.encoding.results import Ceiling, Competition, Entry, Result, Tokenizing, Turn, Whole
from benchmarks.running.machine import Machine


def turn(number: int, *, bulk_s: float, query_ms: float = 10.0, startup_s: float = 5.0) -> Turn:
    return Turn(
        round=number,
        startup_s=startup_s,
        load_s=startup_s - 1,
        first_query_ms=3 * query_ms,
        query_ms=[query_ms, query_ms, 4 * query_ms],
        queries_s=[query_ms / 20],
        bulk_s=bulk_s,
        passages=100,
        tokens=7500,
        peak_mib=900.0,
        bulk_mib=800.0,
        gpu_mib=0.0,
    )


def entry(name: str, title: str, precision: str, bulk_s: tuple[float, ...], *, query_ms: float = 10.0) -> Entry:
    turns = [turn(number, bulk_s=seconds, query_ms=query_ms) for number, seconds in enumerate(bulk_s)]
    ours = name.startswith("ours")
    return Entry(
        name, title, precision, ours, threads=2, batch=0 if ours else 16, cosine=0.9999, length=1.0, turns=turns
    )


def competition() -> Competition:
    broken = Entry("fastembed", "fastembed", "fp32", False, failure="ERROR: No matching distribution found")
    wrong = entry("langchain", "LangChain", "fp32", (0.1, 0.1, 0.1))
    wrong.cosine = 0.4
    entries = [
        entry("ours-auto", "tasb-qdrant, auto", "bf16", (0.4, 0.5, 0.5), query_ms=4.0),
        entry("ours-fp32", "tasb-qdrant, fp32", "fp32", (2.0, 2.0, 2.0)),
        entry("st-fp32", "sentence-transformers fp32", "fp32", (4.0, 5.0, 6.0)),
        entry("st-openvino", "sentence-transformers OpenVINO", "bf16", (0.5, 1.0, 0.75), query_ms=5.0),
        entry("st-onnx-int8", "sentence-transformers ONNX int8", "int8", (0.3, 0.3, 0.3)),
        broken,
        wrong,
    ]
    return Competition(entries, [Ceiling(number, {"fp32": 3e11, "bf16": 2e12}, 2e10) for number in range(3)])


def result() -> Result:
    return Result(
        date="2026-01-31",
        commit="abc1234",
        minutes=21.0,
        device="cpu",
        machine=Machine("A processor", 2, 23.5, "6.0", "3.11.7", amx=True),
        source="made-up passages",
        corpus=10_000,
        mean_tokens=75.2,
        main=competition(),
        without_amx=competition(),
        whole=[Whole("ours-auto", 10_000, 752_000, 40.0, 700.0)],
        tokenizing=Tokenizing(10_000, [0.5, 0.5], [0.125, 0.1], [1.0, 1.0], True),
        packages={"onnx": {"torch": "2.13.0", "onnxruntime": "1.32.0", "idna": "3.2"}},
    )
