"""Memory that runs out shrinks the batch; vectors that can't be stored are refused by position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.encoder import Encoder
from tasb_qdrant.encoder.batching import BatchedEncoder
from tasb_qdrant.encoder.forward.protocol import PipelinedForward
from tasb_qdrant.encoder.protocol import Part, TokenBatch
from tasb_qdrant.encoder.tokenize.tokens import Tokenization
from tasb_qdrant.errors import EncodingError

Ids = Sequence[NDArray[np.int32]]
Vectors = NDArray[np.float32]

TEXTS = [f"passage {'word ' * (n % 7)}number {n}" for n in range(20)]


def torch_out_of_memory() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def allocator_out_of_memory() -> Exception:
    return RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def around(
    encoder: Encoder, forward: Callable[[Ids], Vectors] | PipelinedForward, batch_tokens: int = 10_000
) -> BatchedEncoder:
    """MiniLM's tokenizer and contract around another forward pass."""
    assert isinstance(encoder, BatchedEncoder)
    return BatchedEncoder(
        contract=encoder.contract,
        device="cpu",
        notes=("First note.",),
        tokenization=encoder._tokenize,
        forward=forward,
        batch_tokens=batch_tokens,
    )


def bag_of_ids(texts: Ids) -> Vectors:
    """A forward pass that costs nothing, and whose vectors tell texts apart."""
    vectors = np.zeros((len(texts), 384), dtype=np.float32)
    for vector, ids in zip(vectors, texts, strict=True):
        np.add.at(vector, ids % 384, np.arange(1, len(ids) + 1, dtype=np.float32))
    return vectors


def with_room_for(
    encoder: Encoder, room: int, failure: Callable[[], Exception], forward: Callable[[Ids], Vectors] = bag_of_ids
) -> BatchedEncoder:
    """An encoder on a device whose memory holds `room` tokens, padding included."""

    def limited(texts: Ids) -> Vectors:
        if len(texts) * max(map(len, texts)) > room:
            raise failure()
        return forward(texts)

    return around(encoder, limited)


def test_minilm_on_a_small_memory_gives_the_vectors_that_it_gives_on_a_large_one(minilm_fp32: Encoder) -> None:
    assert isinstance(minilm_fp32, BatchedEncoder)
    forward = minilm_fp32._forward
    assert not isinstance(forward, PipelinedForward)
    encoder = with_room_for(minilm_fp32, 90, torch_out_of_memory, forward)
    np.testing.assert_allclose(encoder.encode_passages(TEXTS), minilm_fp32.encode_passages(TEXTS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("failure", [torch_out_of_memory, allocator_out_of_memory, MemoryError])
def test_a_full_memory_halves_the_batch_and_loses_nothing(
    minilm_fp32: Encoder, failure: Callable[[], Exception]
) -> None:
    encoder = with_room_for(minilm_fp32, 40, failure)
    done: list[int] = []
    vectors = encoder.encode_tokens(encoder.tokenize_passages(TEXTS), on_progress=done.append)
    np.testing.assert_array_equal(vectors, around(minilm_fp32, bag_of_ids).encode_passages(TEXTS))
    assert sum(done) == len(TEXTS)
    assert encoder.notes[0] == "First note."
    assert "instead of 10000: cpu ran out of memory" in encoder.notes[-1]


def test_the_smaller_budget_is_remembered(minilm_fp32: Encoder) -> None:
    failures: list[int] = []

    def failure() -> Exception:
        failures.append(1)
        return torch_out_of_memory()

    encoder = with_room_for(minilm_fp32, 40, failure)
    encoder.encode_passages(TEXTS)
    seen = len(failures)
    assert seen > 0
    encoder.encode_passages(TEXTS)
    assert len(failures) == seen
    assert len(encoder.notes) == 2


def test_a_single_text_that_does_not_fit_is_named(minilm_fp32: Encoder) -> None:
    encoder = with_room_for(minilm_fp32, 20, torch_out_of_memory)
    texts = ["short", "much longer " * 20, "short too"]
    with pytest.raises(
        EncodingError, match=r"text 1 \(\d+ tokens\) alone doesn't fit into the memory of cpu"
    ) as caught:
        encoder.encode_passages(texts)
    assert caught.value.index == 1


def test_any_other_failure_of_the_forward_pass_is_not_taken_for_full_memory(minilm_fp32: Encoder) -> None:
    def broken(texts: Ids) -> Vectors:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        around(minilm_fp32, broken).encode_passages(TEXTS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused_with_its_position(minilm_fp32: Encoder, bad: float) -> None:
    assert isinstance(minilm_fp32, BatchedEncoder)
    culprit = minilm_fp32.tokenize_passages(["culprit"])[0].tolist()

    def forward(texts: Ids) -> Vectors:
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        vectors[[ids.tolist() == culprit for ids in texts], 7] = bad
        return vectors

    with pytest.raises(EncodingError, match="vector of text 2 is not finite in fp32") as caught:
        around(minilm_fp32, forward).encode_passages(["a", "b c d", "culprit", "e f"])
    assert caught.value.index == 2


def test_a_text_that_spoils_its_neighbours_is_named_and_not_they(minilm_fp32: Encoder) -> None:
    assert isinstance(minilm_fp32, BatchedEncoder)
    culprit = minilm_fp32.tokenize_passages(["culprit"])[0].tolist()

    def forward(texts: Ids) -> Vectors:
        spoiled = any(ids.tolist() == culprit for ids in texts)
        return np.full((len(texts), 384), np.nan if spoiled else 1, dtype=np.float32)

    with pytest.raises(EncodingError, match="vector of text 2 is not finite"):
        around(minilm_fp32, forward).encode_passages(["a", "b c d", "culprit", "e f"])


@dataclass
class Overlapping:
    """A forward pass with a device's queue: vectors are computed when they are fetched."""

    room: int = 1_000
    waiting: int = 0
    deepest: int = 0
    sizes: list[int] = field(default_factory=list)

    @dataclass
    class Ticket:
        device: Overlapping
        texts: Ids

        def result(self) -> Vectors:
            self.device.waiting -= 1
            return bag_of_ids(self.texts)

    def submit(self, tokens: TokenBatch) -> Ticket:
        if tokens.tokens > self.room:
            raise torch_out_of_memory()
        self.waiting += 1
        self.deepest = max(self.deepest, self.waiting)
        self.sizes.append(tokens.tokens)
        return self.Ticket(self, [tokens[index] for index in range(len(tokens))])


@pytest.mark.parametrize("room", [1_000, 40])
def test_a_device_with_a_queue_gets_its_next_batch_before_the_last_one_is_fetched(
    minilm_fp32: Encoder, room: int
) -> None:
    forward = Overlapping(room)
    done: list[int] = []
    encoder = around(minilm_fp32, forward, batch_tokens=60)
    vectors = encoder.encode_tokens(encoder.tokenize_passages(TEXTS), on_progress=done.append)
    np.testing.assert_array_equal(vectors, around(minilm_fp32, bag_of_ids).encode_passages(TEXTS))
    assert sum(done) == len(TEXTS)
    assert forward.waiting == 0
    assert forward.deepest == 3


def random_tokens(lengths: Sequence[int]) -> TokenBatch:
    random = np.random.default_rng(0)
    return TokenBatch.of([random.integers(30_000, size=length, dtype=np.int32) for length in lengths])


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=60), budget=st.integers(1, 300))
def test_batches_without_padding_keep_to_the_budget_and_are_of_about_equal_size(
    minilm_fp32: Encoder, lengths: list[int], budget: int
) -> None:
    forward, tokens = Overlapping(room=100_000), random_tokens(lengths)
    vectors = around(minilm_fp32, forward, batch_tokens=budget).encode_tokens(tokens)
    np.testing.assert_array_equal(vectors, bag_of_ids([tokens[index] for index in range(len(tokens))]))
    assert sum(forward.sizes) == tokens.tokens
    assert all(size <= budget or size in lengths for size in forward.sizes)
    if budget >= 2 * max(lengths):
        assert len(forward.sizes) <= 2 * -(-tokens.tokens // budget)
        assert min(forward.sizes) >= min(tokens.tokens, budget) / 2 - 2 * max(lengths)


@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=20), data=st.data())
def test_a_part_of_a_batch_holds_the_same_texts(lengths: list[int], data: st.DataObject) -> None:
    tokens = random_tokens(lengths)
    middle = data.draw(st.integers(1, len(lengths) - 1))
    parts = [tokens.cut(0, middle), tokens.cut(middle, len(tokens))]
    assert [len(part) for part in parts] == [middle, len(lengths) - middle]
    assert parts[1][0].tolist() == tokens[middle].tolist()
    joined = TokenBatch.joined(parts)
    np.testing.assert_array_equal(joined.ids, tokens.ids)
    np.testing.assert_array_equal(joined.offsets, tokens.offsets)


@dataclass(frozen=True)
class Backwards:
    """A tokenization whose parts come in the wrong order."""

    encoder: BatchedEncoder
    notes: tuple[str, ...] = ()

    def __call__(self, texts: Sequence[str], *, prompt: str = "") -> TokenBatch:
        return self.encoder.tokenize_passages(texts)

    def parts(self, texts: Sequence[str], *, prompt: str = "") -> Iterator[Part]:
        for start in reversed(range(0, len(texts), 6)):
            yield Part(start, self(texts[start : start + 6]))

    def places(self, text: str) -> NDArray[np.int64]:
        return self.encoder.token_places(text)

    @property
    def itself(self) -> Tokenization:
        return self.encoder.passage_tokenizer.tokenization


@pytest.mark.parametrize("forward", [bag_of_ids, Overlapping()])
def test_texts_get_their_own_vectors_in_whichever_order_their_tokens_come(
    minilm_fp32: Encoder, forward: Callable[[Ids], Vectors] | PipelinedForward
) -> None:
    assert isinstance(minilm_fp32, BatchedEncoder)
    encoder = around(minilm_fp32, forward, batch_tokens=60)
    expected = encoder.encode_passages(TEXTS)
    encoder._tokenize = Backwards(minilm_fp32)
    np.testing.assert_array_equal(encoder.encode_passages(TEXTS), expected)


def test_a_text_is_named_by_its_position_in_the_call_and_not_in_its_part(minilm_fp32: Encoder) -> None:
    assert isinstance(minilm_fp32, BatchedEncoder)
    culprit = minilm_fp32.tokenize_passages(["culprit"])[0].tolist()
    texts = ["fine"] * 14 + ["culprit"] + ["fine"] * 5

    def spoiled(batch: Ids) -> Vectors:
        vectors = np.zeros((len(batch), 384), dtype=np.float32)
        vectors[[ids.tolist() == culprit for ids in batch]] = np.nan
        return vectors

    def full(batch: Ids) -> Vectors:
        if any(ids.tolist() == culprit for ids in batch):
            raise torch_out_of_memory()
        return np.zeros((len(batch), 384), dtype=np.float32)

    for forward, message in [(spoiled, "the vector of text 14 is not finite"), (full, "text 14 .* alone doesn't fit")]:
        encoder = around(minilm_fp32, forward)
        encoder._tokenize = Backwards(minilm_fp32)
        with pytest.raises(EncodingError, match=message) as caught:
            encoder.encode_passages(texts)
        assert caught.value.index == 14


def test_vectors_of_another_shape_or_type_are_refused(minilm_fp32: Encoder) -> None:
    for vectors in (np.zeros((2, 3), np.float32), np.zeros((1, 384), np.float32), np.zeros((2, 384), np.float64)):
        encoder = around(minilm_fp32, lambda texts, given=vectors: given)  # type: ignore[misc]  # bound per turn
        with pytest.raises(EncodingError, match=r"expected float32 vectors \(2, 384\)"):
            encoder.encode_passages(["a", "b"])
