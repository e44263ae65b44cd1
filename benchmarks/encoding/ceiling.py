"""What the hardware can do, measured between turns: `python -m benchmarks.encoding.ceiling DEVICE`.

Answers each line on stdin with the best of a few measurements: FLOP/s of the model's largest product with prepacked
weights, and bytes/s of a copy that is too large for any cache.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import torch

ROWS: Final = 4096
INPUTS: Final = 768
OUTPUTS: Final = 3072
COPIED: Final = 1 << 28


def best(run: Callable[[], object], *, device: str, times: int) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return min(found)


def cpu_product(dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    inputs, bias = torch.randn(ROWS, INPUTS).to(dtype), torch.zeros(OUTPUTS, dtype=dtype)
    if not torch._C._has_mkldnn:
        weight = torch.randn(INPUTS, OUTPUTS).to(dtype)
        return lambda: inputs @ weight, 2.0 * ROWS * INPUTS * OUTPUTS
    laid_out = torch.ops.mkldnn._reorder_linear_weight(torch.randn(OUTPUTS, INPUTS).to(dtype), None)
    multiply = torch.ops.mkldnn._linear_pointwise
    return lambda: multiply(inputs, laid_out, bias, "none", [], ""), 2.0 * ROWS * INPUTS * OUTPUTS


def cuda_product(dtype: torch.dtype, device: str) -> tuple[Callable[[], object], float]:
    size = 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: left @ right, 2.0 * size**3


def measure(device: str) -> dict[str, Any]:
    names = ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    gemm = {}
    for name in names:
        run, flop = cpu_product(dtypes[name]) if device == "cpu" else cuda_product(dtypes[name], device)
        gemm[name] = flop / best(run, device=device, times=8)
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    seconds = best(lambda: target.copy_(source), device=device, times=5)
    return {"gemm": gemm, "bandwidth": 2 * COPIED / seconds}


def main() -> int:
    with torch.inference_mode():
        for _ in sys.stdin:
            print(json.dumps(measure(sys.argv[1])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
