"""The oracle of rankings lets points change places where float32 can't tell them apart, and nowhere else."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ranking import Ranking, difference, float32_slack, mistake_in_groups

TIED = Ranking({"a": 3.0, "b": 2.0, "c": 2.0 - 1e-7, "d": 1.0}, slack=1e-6)


@pytest.mark.parametrize("found", [["a", "b", "c"], ["a", "c", "b"]])
def test_points_closer_than_the_slack_come_in_any_order(found: list[str]) -> None:
    assert TIED.mistake(found, limit=3) == ""


def test_at_the_end_of_a_list_either_of_two_such_points_will_do() -> None:
    assert TIED.mistake(["a", "b"], limit=2) == TIED.mistake(["a", "c"], limit=2) == ""
    assert TIED.mistake(["c", "d"], limit=2, offset=2) == TIED.mistake(["b", "d"], limit=2, offset=2) == ""


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (["b", "a", "c"], "'b' at rank 0 has the score 2.0"),
        (["a", "b", "d"], "'d' at rank 2 has the score 1.0"),
        (["a", "b"], "expected 3, found 2"),
        (["a", "b", "c", "d"], "expected 3, found 4"),
        (["a", "b", "b"], "something comes twice"),
        (["a", "b", "e"], "'e' is not to be found"),
        ([], "expected 3, found 0"),
    ],
)
def test_whatever_else_is_wrong_is_said(found: list[str], says: str) -> None:
    assert says in TIED.mistake(found, limit=3)


def test_small_steps_do_not_add_up_to_a_large_one() -> None:
    stairs = Ranking({n: n * 0.9 for n in range(5)}, slack=1.0)
    assert stairs.mistake([4, 3, 2], limit=3) == stairs.mistake([3, 4, 2], limit=3) == ""
    assert "left out" in stairs.mistake([3, 2, 1], limit=3)
    steps = Ranking({"a": 1.8, "b": 0.9, "c": 0.9, "d": 0.0}, slack=1.0)
    assert "'a' with 1.8 comes after one with 0.0" in steps.mistake(["b", "d", "a", "c"], limit=4)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7, unique=True), st.integers(1, 8), st.integers(0, 8))
def test_of_scores_far_apart_one_list_alone_is_right(scores: list[int], limit: int, offset: int) -> None:
    ranking = Ranking({score: float(score) for score in scores}, slack=0.4)
    right = sorted(scores, reverse=True)[offset : offset + limit]
    assert ranking.mistake(right, limit=limit, offset=offset) == ""
    for count in range(min(4, len(scores) + 1)):
        for found in permutations(scores, count):
            if list(found) != right:
                assert ranking.mistake(found, limit=limit, offset=offset)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 16, 768]), st.integers(1, 30))
def test_every_way_of_summing_in_float32_gives_a_right_list(seed: int, dim: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(dim)
    # So close to one another that many scores are told apart by rounding alone.
    vectors = (centre + 1e-6 * rng.standard_normal((40, dim))).astype(np.float32)
    query = (rng.standard_normal(dim) * rng.uniform(0.01, 100)).astype(np.float32)
    ranking = Ranking.of(range(40), vectors, query)
    for order in (np.arange(dim), np.arange(dim)[::-1], rng.permutation(dim)):
        sums = np.zeros(40, dtype=np.float32)
        for column in order:
            sums += vectors[:, column] * query[column]
        for scores in (sums, vectors[:, order] @ query[order]):
            found = np.argsort(-scores, kind="stable")[:limit].tolist()
            assert ranking.mistake(found, limit=limit) == ""


def test_the_slack_is_small_beside_the_scores() -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 768)).astype(np.float32)
    spread = np.ptp(vectors @ vectors[0])
    assert 0 < float32_slack(vectors[0], vectors) < spread / 1_000


def test_a_threshold_is_taken_only_where_two_ranks_are_apart() -> None:
    assert TIED.between(0) == 2.5
    with pytest.raises(AssertionError, match="ranks 1 and 2 are too close"):
        TIED.between(1)


LISTED = [("a", 3.0), ("b", 2.0), ("c", 2.0 - 1e-7)]


@pytest.mark.parametrize(
    "found",
    [
        LISTED,
        [LISTED[0], ("c", 2.0), ("b", 2.0 - 1e-7)],
        [LISTED[0], LISTED[1], ("d", 2.0 - 2e-7)],
        [("a", 3.0 + 1e-7), *LISTED[1:]],
    ],
)
def test_two_lists_may_differ_by_what_is_within_the_tolerance(found: list[tuple[str, float]]) -> None:
    assert difference(found, LISTED, tolerance=1e-6) == difference(LISTED, found, tolerance=1e-6) == ""


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (LISTED[:2], "expected 3, found 2"),
        ([("b", 3.0), ("a", 2.0), LISTED[2]], "'b' with 2.0 is in one list with another score"),
        ([("d", 3.0), *LISTED[1:]], "or not at all"),
        ([("a", 3.1), *LISTED[1:]], "at rank 0, 'a' has 3.1; expected 'a' with 3.0"),
        ([LISTED[0], LISTED[1], LISTED[1]], "something comes twice"),
    ],
)
def test_two_lists_that_differ_by_more_are_told_apart(found: list[tuple[str, float]], says: str) -> None:
    assert says in difference(found, LISTED, tolerance=1e-6)


VALUES: dict[str, list[str | int]] = {"a": ["x"], "b": ["x", "y", 1], "c": ["z"], "d": ["y"]}
GROUPS = [("x", ["a", "b"]), (1, ["b"]), ("y", ["b", "d"]), ("z", ["c"])]


def test_groups_are_right_by_their_best_members_and_their_own_order() -> None:
    assert mistake_in_groups(TIED, VALUES, GROUPS, limit=4, size=2) == ""
    assert mistake_in_groups(TIED, VALUES, [GROUPS[0], GROUPS[3], *GROUPS[1:3]], limit=4, size=2) == ""
    assert mistake_in_groups(TIED, VALUES, GROUPS[1:], limit=3, size=2, offset=1) == ""


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([GROUPS[1], GROUPS[0], *GROUPS[2:]], "the groups: 1 at rank 0"),
        (GROUPS[:3], "expected 4, found 3"),
        ([("x", ["b", "a"]), *GROUPS[1:]], "in the group 'x': 'b' at rank 0"),
        ([("x", ["a"]), *GROUPS[1:]], "in the group 'x': expected 2, found 1"),
        ([GROUPS[0], ("w", ["b"]), *GROUPS[2:]], "'w' is not to be found"),
        ([GROUPS[0], GROUPS[2], GROUPS[1], GROUPS[3]], "['y', 1], all led by 'b', are not in their values' order"),
    ],
)
def test_groups_that_are_wrong_are_told(groups: list[tuple[str | int, list[str]]], says: str) -> None:
    assert says in mistake_in_groups(TIED, VALUES, groups, limit=4, size=2)
