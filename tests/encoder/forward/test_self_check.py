"""A fast forward pass is used only if it gives the reference's vectors; whatever else it does is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.self_check import disagreement, trial_texts

Texts = Sequence[NDArray[np.int32]]
Vectors = NDArray[np.float32]

TEXTS = trial_texts(vocabulary=30522, longest=512)


def reference(texts: Texts) -> Vectors:
    """Vectors that depend on nothing but the ids."""
    return np.stack([np.random.default_rng(ids).normal(size=16) for ids in texts]).astype(np.float32)


def test_a_forward_that_gives_the_references_vectors_is_accepted() -> None:
    assert disagreement(reference, reference, texts=TEXTS) == ""
    assert disagreement(lambda texts: reference(texts) * np.float32(1.005), reference, texts=TEXTS) == ""


def with_nan(texts: Texts) -> Vectors:
    vectors = reference(texts)
    vectors[-1, 3] = np.nan
    return vectors


def of_the_others(texts: Texts) -> Vectors:
    return np.roll(reference(texts), 1, axis=0)


def wrong_when_alone(texts: Texts) -> Vectors:
    return reference(texts) if len(texts) > 1 else -reference(texts)


def wrong_together(texts: Texts) -> Vectors:
    return reference(texts) if len(texts) == 1 else -reference(texts)


def failing(texts: Texts) -> Vectors:
    raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")


def failing_without_words(texts: Texts) -> Vectors:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("fast", "reason"),
    [
        (with_nan, "the fast one gave vectors that are not finite"),
        (lambda texts: reference(texts) * 0, "the fast one gave a vector of zeros"),
        (lambda texts: reference(texts)[:, :8], r"the fast one gave float32 \(7, 8\) instead of float32 \(7, 16\)"),
        (lambda texts: reference(texts)[:-1], r"the fast one gave float32 \(6, 16\) instead of"),
        (lambda texts: reference(texts).astype(np.float64), r"the fast one gave float64 \(7, 16\) instead of float32"),
        (lambda texts: reference(texts) * np.float32(1.05), "are 5.0% longer or shorter than the reference's"),
        (of_the_others, "the fast one's vectors have a cosine of"),
        (wrong_when_alone, "the fast one's vectors have a cosine of -1.0000 with the reference's, less than 0.999"),
        (wrong_together, "the fast one's vectors have a cosine of -1.0000 with the reference's, less than 0.999"),
        (failing, "the fast one failed with CUDA error: no kernel image is available$"),
        (failing_without_words, "the fast one failed with NotImplementedError"),
    ],
)
def test_a_forward_that_does_anything_else_is_refused_with_the_reason(
    fast: Callable[[Texts], Vectors], reason: str
) -> None:
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(disagreement(fast, reference, texts=TEXTS))


def test_nothing_agrees_with_a_reference_that_is_not_finite() -> None:
    assert disagreement(reference, with_nan, texts=TEXTS) != ""


def test_an_error_of_the_reference_is_not_taken_for_one_of_the_fast_forward() -> None:
    with pytest.raises(RuntimeError, match="no kernel image"):
        disagreement(reference, failing, texts=TEXTS)


def test_trial_texts_are_the_same_every_time_and_within_the_models_limits() -> None:
    first, again = (trial_texts(vocabulary=100, longest=75) for _ in range(2))
    assert [len(ids) for ids in first] == [2, 12, 16, 30, 75]
    for ids, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(ids, same)
        assert ids.dtype == np.int32
        assert ids.min() >= 0
        assert ids.max() < 100
