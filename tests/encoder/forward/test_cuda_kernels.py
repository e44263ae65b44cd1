"""Triton's kernels give what torch's give, and stand back where they can't; on a CPU, torch's are there alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tasb_qdrant.encoder.forward.cuda_attention import Spans, attention_on
from tasb_qdrant.encoder.forward.cuda_batch import Batch
from tasb_qdrant.encoder.forward.cuda_kernels import _tried, add_norm, embed_norm, kernels_on, product_gelu
from tasb_qdrant.encoder.forward.encoder_weights import Norm

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

LENGTHS = [75, 512, 1, 2, 63, 64, 65, 130, 33]


def doubled(numbers: Tensor) -> Tensor:
    return numbers * 2


def summed(numbers: Tensor) -> Tensor:
    return numbers + numbers


def wrong(numbers: Tensor) -> Tensor:
    return numbers * 2.2


def failing(numbers: Tensor) -> Tensor:
    raise RuntimeError("out of resource: shared memory\nand a trace")


def unfinished(numbers: Tensor) -> Tensor:
    return numbers * torch.nan


def test_a_kernel_is_used_once_it_has_given_what_torchs_give() -> None:
    numbers = torch.rand(7)
    for candidate, expected, note in [
        (doubled, doubled, None),
        (wrong, summed, "off by 10%"),
        (unfinished, summed, "off by nan%"),
        (failing, summed, r"(out of resource: shared memory)"),
    ]:
        notes: list[str] = []
        assert _tried("doubling", candidate, summed, lambda run: run(numbers), notes) is expected
        assert len(notes) == (note is not None)
        assert all(said.startswith("For doubling, torch's kernels are used") for said in notes)
        assert all(note in said for said in notes if note)


def test_a_cpu_gets_torchs_kernels_without_a_note() -> None:
    notes: list[str] = []
    kernels = kernels_on(Norm(torch.rand(8), torch.rand(8), 1e-5), heads=2, notes=notes)
    assert (kernels.add_norm, kernels.embed_norm, kernels.product_gelu) == (add_norm, embed_norm, product_gelu)
    assert kernels.attend is attention_on(torch.device("cpu"))
    assert notes == []


def close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """`expected` in float64 of the same numbers, whose rounding is all that may differ."""
    room = 2e-2 if dtype == torch.bfloat16 else 3e-3
    off = float((found.double().cpu() - expected.cpu()).abs().max() / expected.abs().max())
    assert off < room


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("dim", "heads"), [(768, 12), (384, 12), (1024, 16), (96, 6), (256, 2)])
def test_a_gpu_gets_kernels_that_give_what_torchs_give_in_float64(dim: int, heads: int, dtype: torch.dtype) -> None:
    torch.manual_seed(dim)
    device, tokens = torch.device("cuda:0"), sum(LENGTHS)
    norm = Norm(torch.rand(dim, device=device, dtype=dtype), torch.rand(dim, device=device, dtype=dtype), 1e-5)
    exact = Norm(norm.weight.double(), norm.bias.double(), norm.eps)
    notes: list[str] = []
    kernels = kernels_on(norm, heads=heads, notes=notes)
    assert notes == []
    assert kernels.add_norm is not add_norm

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    inputs, others = random(tokens, dim), random(tokens, dim)
    close(kernels.add_norm(inputs, others, norm), add_norm(inputs.double(), others.double(), exact), dtype)

    bounds = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32, device=device)
    ids = torch.randint(50, (tokens,), dtype=torch.int32, device=device)
    batch, words, positions = Batch(ids, bounds, max(LENGTHS)), random(50, dim), random(512, dim)
    found = kernels.embed_norm(batch, words, positions, norm)
    close(found, embed_norm(batch, words.double(), positions.double(), exact), dtype)

    parts = random(tokens, 3 * dim).view(tokens, 3, heads, -1).unbind(1)
    each = torch.arange(len(bounds), dtype=torch.int32, device=device)
    for queries, spans in [
        (parts[0], Spans(bounds, bounds, max(LENGTHS), max(LENGTHS))),
        (parts[0][batch.firsts.long()], Spans(each, bounds, 1, max(LENGTHS))),
    ]:
        asked, keys, values = (tensor.double().cpu() for tensor in (queries, *parts[1:]))
        moved = Spans(spans.queries.cpu(), spans.keys.cpu(), spans.most_queries, spans.most_keys)
        found = kernels.attend(queries, parts[1], parts[2], spans)
        close(found, attention_on(torch.device("cpu"))(asked, keys, values, moved), dtype)

    wide = 512
    weight, bias = random(wide, dim) / dim**0.5, random(wide)
    expected = product_gelu(inputs.double(), weight.double(), bias.double())
    close(kernels.product_gelu(inputs, weight, bias), expected, dtype)
