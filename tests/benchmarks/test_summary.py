"""Ratios are taken round by round, and only what agrees is compared."""

from __future__ import annotations

import pytest

from benchmarks.encoding import summary
from benchmarks.encoding.results import Competition, Entry
from benchmarks.encoding.targets import targets_of
from benchmarks.running.tables import Spread
from tests.benchmarks.samples import competition, entry, result, turn


def named(competition: Competition, name: str) -> Entry:
    return next(entry for entry in competition.entries if entry.name == name)


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    own, other = entry("ours-auto", "", "bf16", (1.0, 1.0, 4.0)), entry("st-fp32", "", "fp32", (2.0, 9.0, 8.0))
    assert summary.times_as_fast(own, other, summary.bulk_cost) == Spread(2.0, 2.0, 9.0)


def test_rounds_that_only_one_took_part_in_do_not_count() -> None:
    own, other = entry("ours-auto", "", "bf16", (1.0, 1.0)), entry("st-fp32", "", "fp32", (3.0,))
    assert summary.times_as_fast(own, other, summary.bulk_cost) == Spread(3.0, 3.0, 3.0)
    assert summary.times_as_fast(own, Entry("x", "", "fp32", False), summary.bulk_cost) is None


def test_the_share_of_the_peak_counts_the_whole_model_against_the_same_rounds_peak() -> None:
    found = competition()
    share = summary.of_peak(named(found, "ours-auto"), found, "bf16")
    assert share is not None
    assert share.highest == pytest.approx(7500 * 84.9e6 / 0.4 / 2e12)
    assert share.median == pytest.approx(7500 * 84.9e6 / 0.5 / 2e12)
    assert summary.of_peak(named(found, "st-onnx-int8"), found, "int8") is None


def test_quantiles_are_over_the_queries_of_all_rounds() -> None:
    one = Entry("a", "", "fp32", False, turns=[turn(0, bulk_s=1, query_ms=1), turn(1, bulk_s=1, query_ms=2)])
    assert summary.quantile(one, 0.5) == 2
    assert summary.quantile(one, 0.99) == 8
    assert summary.quantile(one, 1.0) == 8


def test_the_best_peer_is_float_not_ours_and_has_vectors_that_agree() -> None:
    best = summary.best_peer(competition())
    assert best is not None
    assert best.name == "st-openvino"


def test_vectors_of_another_length_are_not_comparable_whatever_their_direction() -> None:
    one = entry("st-fp32", "", "fp32", (1.0,))
    assert summary.comparable(one)
    one.length = 0.1
    assert not summary.comparable(one)


def test_targets_say_what_was_wanted_found_and_whether_that_is_enough() -> None:
    found = {(target.work, target.wanted): (target.found, target.verdict) for target in targets_of(result())}
    assert found["bulk", "≥ 8 x sentence-transformers fp32"] == ("10.00 (10.00 to 12.00)", "reached")
    assert found["bulk", "≥ 1.25 x the best float peer (sentence-transformers OpenVINO)"][1] == "reached"
    assert found["bulk", "≥ 70% of the bf16 GEMM peak"] == ("64% (64% to 80%)", "not reached")
    assert found["single query, p50", "≥ 3 x sentence-transformers fp32"] == ("2.50 (2.50 to 2.50)", "not reached")
    assert found["tokenising, words known", "≥ 5 x `encode_batch_fast`, ids equal"][1] == "reached"
