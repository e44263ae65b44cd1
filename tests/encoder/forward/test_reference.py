"""The vectors are the ones that transformers and sentence-transformers give, one text at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasb_qdrant.encoder import Encoder, load_encoder
from tests.models import minilm_folder

TEXTS = (
    "What is the capital of France?",
    "Paris is the capital and largest city of France, on the Seine.",
    "the quick brown fox jumps over the lazy dog " * 3,
    "naïve café über straße",
    "漢字とかな",
    "a",
    "We are happy to show you the 🤗 library [SEP] with a special token in the text.",
    "word " * 200,
    "",
)


@cache
def transformers_model(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # has no annotations
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    return AutoTokenizer.from_pretrained(folder, local_files_only=True), model


@cache
def cls_alone(folder: Path, text: str) -> NDArray[np.float32]:
    """The CLS vector as transformers gives it for this text alone."""
    import torch

    tokenizer, model = transformers_model(folder)
    with torch.inference_mode():
        inputs = tokenizer([text], truncation=True, max_length=512, return_tensors="pt")
        vector: NDArray[np.float32] = model(**inputs).last_hidden_state[0, 0].numpy()
    return vector


def expected(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.stack([cls_alone(folder, text) for text in texts])


def with_budget(encoder: Encoder, batch_tokens: int) -> Encoder:
    """The same encoder with another budget, without loading the model again."""
    from tasb_qdrant.encoder.batching import BatchedEncoder

    assert isinstance(encoder, BatchedEncoder)
    return BatchedEncoder(
        contract=encoder.contract,
        device=encoder.device,
        notes=(),
        tokenization=encoder._tokenize,
        forward=encoder._forward,
        batch_tokens=batch_tokens,
    )


def test_passages_get_transformers_cls_vectors_in_input_order(tasb_fp32: Encoder, tasb_like: Path) -> None:
    vectors = tasb_fp32.encode_passages(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(vectors, expected(tasb_like, TEXTS), rtol=0, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(data=st.data(), batch_tokens=st.integers(1, 700))
def test_neither_order_nor_batch_changes_a_vector(
    tasb_fp32: Encoder, tasb_like: Path, data: st.DataObject, batch_tokens: int
) -> None:
    short = [text for text in TEXTS if len(text) < 200]
    texts = data.draw(st.lists(st.sampled_from(short), max_size=10))
    vectors = with_budget(tasb_fp32, batch_tokens).encode_passages(texts)
    assert vectors.shape == (len(texts), 768)
    if texts:
        np.testing.assert_allclose(vectors, expected(tasb_like, texts), rtol=0, atol=1e-5)


def test_a_query_gets_the_vector_that_the_same_passage_gets(tasb_fp32: Encoder) -> None:
    text = "what is the transformers library"
    np.testing.assert_array_equal(tasb_fp32.encode_queries([text]), tasb_fp32.encode_passages([text]))


def test_bf16_keeps_the_direction_of_fp32(tasb_fp32: Encoder, tasb_like: Path) -> None:
    encoder = load_encoder(tasb_like, device="cpu", precision="bf16")
    assert encoder.contract.precision == "bf16"
    ours, theirs = encoder.encode_passages(TEXTS), tasb_fp32.encode_passages(TEXTS)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert ours.dtype == np.float32
    assert cosines.min() >= 0.999
    assert cosines.min() < 1.0, "bf16 asked for, fp32 computed"


def test_minilm_gets_the_vectors_of_sentence_transformers(minilm_fp32: Encoder) -> None:
    from sentence_transformers import SentenceTransformer  # comes with the packaged encoder

    theirs = SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True).encode(
        list(TEXTS), show_progress_bar=False
    )
    np.testing.assert_allclose(minilm_fp32.encode_passages(TEXTS), theirs, rtol=0, atol=1e-5)


def test_no_texts_give_no_vectors(tasb_fp32: Encoder) -> None:
    assert tasb_fp32.encode_passages([]).shape == (0, 768)
    assert tasb_fp32.encode_queries([]).shape == (0, 768)


def test_progress_adds_up_to_the_number_of_passages(minilm_fp32: Encoder) -> None:
    texts = ["some words " * n for n in random.Random(0).choices(range(1, 20), k=30)]
    done: list[int] = []
    encoder = with_budget(minilm_fp32, 100)
    encoder.encode_tokens(encoder.tokenize_passages(texts), on_progress=done.append)
    assert sum(done) == 30
    assert len(done) > 5


def test_several_threads_get_the_vectors_that_one_gets(minilm_fp32: Encoder) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"passage number {n} " * (n % 5 + 1) for n in range(24)]
    alone = minilm_fp32.encode_passages(texts)
    encoder = with_budget(minilm_fp32, 64)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(encoder.encode_passages, [texts] * 4):
            np.testing.assert_allclose(vectors, alone, rtol=0, atol=1e-5)
