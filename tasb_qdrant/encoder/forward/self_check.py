"""Checks that a fast forward pass gives the reference's vectors on this machine, before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasb_qdrant.encoder.forward.protocol import Forward

LEAST_COSINE: Final = 0.999
"""With the reference's vector of the same text, in the same precision."""

MOST_STRETCH: Final = 0.01
"""How much longer or shorter than the reference's a vector may be, as a fraction: dot products of vectors that aren't
normalised depend on it, but the cosine doesn't show it."""

_LENGTHS: Final = (2, 12, 16, 30, 75, 200, 512)


def trial_texts(*, vocabulary: int, longest: int) -> list[NDArray[np.int32]]:
    """Random ids below `vocabulary`, the same every time: texts of 2 to `longest` tokens, 512 at most."""
    random = np.random.default_rng(0)
    lengths = [length for length in _LENGTHS if length <= longest]
    return [random.integers(vocabulary, size=length, dtype=np.int32) for length in lengths]


def disagreement(fast: Forward, reference: Forward, *, texts: Sequence[NDArray[np.int32]]) -> str:
    """How `fast` differs from `reference` on `texts`, together and each alone, or "" if it doesn't.

    Any error from `fast` counts as a difference; those from `reference` are raised.
    """
    expected = reference(texts)  # first, because an error on a GPU can break everything after it
    try:
        together = fast(texts)
        alone = np.concatenate([fast([ids]) for ids in texts])
    except Exception as error:  # kernels and compilers raise errors of all types, and there is still the reference
        return f"the fast one failed with {first_line(error)}"
    for found in (together, alone):
        difference = _difference(found, expected)
        if difference:
            return difference
    return ""


def first_line(error: Exception) -> str:
    """The first line of an error: torch's go on with advice and traces."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"the fast one gave {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    if not np.isfinite(found).all():
        return "the fast one gave vectors that are not finite"
    ours, theirs = (vectors.astype(np.float64) for vectors in (found, expected))
    lengths, expected_lengths = (np.linalg.norm(vectors, axis=1) for vectors in (ours, theirs))
    if not lengths.all():
        return "the fast one gave a vector of zeros"
    cosine = ((ours * theirs).sum(axis=1) / (lengths * expected_lengths)).min()
    stretch = np.abs(lengths / expected_lengths - 1).max()
    # Written so that NaN, as from a reference that isn't finite, is a difference too.
    if not cosine >= LEAST_COSINE:
        return f"the fast one's vectors have a cosine of {cosine:.4f} with the reference's, less than {LEAST_COSINE}"
    if not stretch <= MOST_STRETCH:
        return f"the fast one's vectors are {stretch:.1%} longer or shorter than the reference's"
    return ""
