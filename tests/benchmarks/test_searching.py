"""The search benchmark: its recall, its ratios and verdicts, its points, and what a contestant answers."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import search
from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.document import with_section
from benchmarks.running.kept import write_json
from benchmarks.running.machine import Machine
from benchmarks.searching.contestants import CEILING, EMBEDDED, EVERYONE, LOCAL, OURS, REQUIREMENTS, SCRIPTS
from benchmarks.searching.points import CHANGED, changed, scattered
from benchmarks.searching.ratios import overhead, p95
from benchmarks.searching.recall import recall
from benchmarks.searching.report import quick_lines, render
from benchmarks.searching.results import (
    BATCH,
    ENCODED_ONE,
    ENCODED_TOGETHER,
    FILTERED,
    GIVEN,
    ONE,
    SINGLE,
    TOGETHER,
    Entry,
    Parts,
    Recall,
    Result,
    Turn,
    read_result,
)
from benchmarks.searching.targets import target_rows
from benchmarks.searching.turns import choose_ef


def _turns(task: str, milliseconds: float, *, ef: int = 0) -> list[Turn]:
    """Two rounds, in the second of which the machine is half as fast."""
    return [
        Turn(number, task, 4, 4 * milliseconds * (1 + number) / 1000, [milliseconds * (1 + number)] * 4, ef)
        for number in range(2)
    ]


def _many(task: str, queries: int, seconds: float) -> list[Turn]:
    return [Turn(number, task, queries, seconds * (1 + number)) for number in range(2)]


def _ours() -> Entry:
    turns = [*_turns(SINGLE, 8.0), *_turns(FILTERED, 9.0), *_many(BATCH, 1_000, 2.5)]
    turns += [*_many(ONE, 100, 1.0), *_many(TOGETHER, 640, 1.0)]
    turns += [*_many(ENCODED_ONE, 100, 0.8), *_many(ENCODED_TOGETHER, 640, 1.6)]
    parts = [Parts(number, SINGLE, [8.0, 9.0, 30.0], [6.0, 7.0, 6.0], [1.6, 1.5, 1.5]) for number in range(2)]
    recalls = [Recall(SINGLE, 200, 0.991), Recall(FILTERED, 200, 0.975)]
    return Entry(OURS, "the ours", turns=turns, parts=parts, recalls=recalls)


def _result() -> Result:
    peer = Entry(
        "st",
        "the peer",
        turns=[*_turns(SINGLE, 20.0), *_turns(FILTERED, 16.0), *_many(BATCH, 200, 4.0)],
        recalls=[Recall(FILTERED, 100, 0.87)],
    )
    other = Entry("st-bf16", "the other", plain=False, turns=_turns(SINGLE, 10.0))
    failed = Entry("langchain", "LangChain", failures={"open": "ImportError: no such module"})
    ceiling = Entry(CEILING, "the stub", turns=[*_many(ONE, 100, 0.1), *_many(TOGETHER, 640, 0.4)])
    embedded = Entry(
        EMBEDDED,
        "the embedded",
        turns=[*_turns(GIVEN, 1.0), *_turns(GIVEN, 2.0, ef=256)],
        recalls=[Recall(GIVEN, 200, 0.99), Recall(GIVEN, 200, 1.0, 256), Recall(GIVEN, 200, 1.0, 512)],
    )
    local = Entry(LOCAL, "the local", turns=_turns(GIVEN, 50.0), recalls=[Recall(GIVEN, 12, 1.0)])
    return Result(
        date="2026-11-26",
        commit="abc1234",
        minutes=5.0,
        machine=Machine("A processor", 2, 23.5, "6.0", "3.11.7"),
        server="1.17.0",
        points=1_000,
        dim=768,
        payload_bytes=480.0,
        matching=0.069,
        limit=10,
        at_once=64,
        entries=[_ours(), peer, other, failed, ceiling, embedded, local],
        packages={"tasb-qdrant": {"qdrant-client": "1.20.0", "click": "8"}},
    )


def test_the_targets_are_judged_round_by_round_against_the_best_peer_as_it_comes_and_at_its_best() -> None:
    rows = {(row[0], row[1]): row[2:] for row in target_rows(_result())}
    assert rows["one query, p50", "≤ 0.5 x the best peer (the peer)"] == ["0.40 (0.40 to 0.40)", "reached"]
    assert rows["one query, p50", "≤ 0.5 x the best peer (the other)"] == ["0.80 (0.80 to 0.80)", "not reached"]
    assert rows["one query, filtered, p50", "≤ 0.5 x the best peer (the peer)"] == [
        "0.56 (0.56 to 0.56); recall@10 0.9750, its own 0.8700",
        "not reached",
    ]
    assert rows["many queries", "≥ 3 x the best peer's loop (the peer)"] == ["8.00 (8.00 to 8.00)", "reached"]
    assert rows["many queries", "≥ 3 x the best peer's loop (the other)"] == ["4.00 (4.00 to 4.00)", "reached"]
    assert rows["64 at once", "≥ 5 x one at a time"] == ["6.40 (6.40 to 6.40)", "reached"]
    assert rows["recall@10", "≥ 0.98"] == ["0.9910", "reached"]
    assert rows["recall@10, filtered", "≥ 0.98"] == ["0.9750", "not reached"]


def test_the_overhead_is_the_median_of_what_each_query_takes_beyond_its_own_parts() -> None:
    assert overhead(_ours().parts[0]) == pytest.approx(0.5)
    result = _result()
    assert [row[3] for row in target_rows(result) if "beyond encoding" in row[1]] == ["reached"]
    ours = result.entries[0]
    ours.parts = [replace(each, search=[7.5, 8.4, 7.4]) for each in ours.parts]  # noise can make it less than nothing
    assert [row[2:] for row in target_rows(result) if "beyond encoding" in row[1]] == [
        ["-0.10 (-0.10 to -0.10)", "reached"]
    ]
    ours.parts = [replace(each, search=[8.2, 9.1, 8.1]) for each in ours.parts]
    assert [row[3] for row in target_rows(result) if "beyond encoding" in row[1]] == ["not reached"]


def test_embedded_is_judged_with_the_index_that_finds_as_much_as_local_mode() -> None:
    result = _result()
    row = next(row for row in target_rows(result) if row[0] == "embedded")
    assert row[2] == "25.00 (25.00 to 25.00); recall@10 1.0000, its own 1.0000, `hnsw_ef` 256"
    assert row[3] == "reached"
    embedded = result.entries[5]
    embedded.recalls = [replace(each, value=0.99) for each in embedded.recalls]
    assert next(row for row in target_rows(result) if row[0] == "embedded")[3] == "not reached"


@pytest.mark.parametrize(("wanted", "ef"), [(0.9, 0), (0.995, 256), (1.0, 256)])
def test_the_least_thorough_index_that_finds_enough_is_chosen(wanted: float, ef: int) -> None:
    assert choose_ef(_result().entries[5], GIVEN, wanted) == ef


def test_where_no_index_finds_enough_the_one_that_finds_most_is_chosen() -> None:
    entry = Entry("e", "e", recalls=[Recall(GIVEN, 9, 0.97), Recall(GIVEN, 9, 0.99, 512), Recall(GIVEN, 9, 0.99, 256)])
    assert choose_ef(entry, GIVEN, 1.0) == 256
    assert choose_ef(replace(entry, recalls=[]), GIVEN, 1.0) == 0


def test_the_tables_have_everyone_and_what_failed() -> None:
    text = render(_result())
    assert (
        "| **the ours** | 12.00 (8.00 to 16.00) | 12.00 (8.00 to 16.00) | 0.40 (0.40 to 0.40) | 0.9910 of 200 |" in text
    )
    assert "| the peer | 38 (25 to 50) | 38 (25 to 50) | 200 |" in text
    assert "| the stub | 750 (500 to 1,000) | 1,200 (800 to 1,600) | 1.6 (1.6 to 1.6) |" in text
    assert "| its encoder alone, as many in a batch | 94 (62 to 125) | 300 (200 to 400) | 3.2 (3.2 to 3.2) |" in text
    assert "| **the embedded**, `hnsw_ef` 256 | 3.00 (2.00 to 4.00) | - | 1.0000 of 200 |" in text
    assert "LangChain, open, failed: ImportError: no such module" in text
    assert "rounds: 2" in text
    assert "click" not in text
    assert any("langchain" in line and "failed" in line for line in quick_lines(_result()))


@pytest.mark.parametrize("names", [[], [OURS], [LOCAL], ["st"]])
def test_a_result_of_few_is_rendered_too(names: list[str]) -> None:
    result = _result()
    result.entries = [entry for entry in result.entries if entry.name in names]
    assert "Measured 2026-11-26" in render(result)
    assert len(quick_lines(result)) >= len(names)


def test_a_percentile_of_one_query_is_that_query() -> None:
    assert p95(Turn(0, SINGLE, 1, 0.005, [5.0])) == 5.0
    assert 95 <= p95(Turn(0, SINGLE, 100, 5.05, [float(number) for number in range(1, 101)])) <= 97


def test_a_kept_result_reads_back_the_same(tmp_path: Path) -> None:
    write_json(_result(), tmp_path / "search.json")
    assert read_result(tmp_path / "search.json") == _result()


def test_the_document_has_a_place_for_it() -> None:
    assert "SEARCHED" in with_section(search.DOCUMENT.read_text(encoding="utf-8"), search.NAME, "SEARCHED")


def test_every_contestant_has_a_script_and_pinned_requirements() -> None:
    for one in EVERYONE:
        assert (SCRIPTS / f"{one.script}.py").is_file()
        if one.environment:
            lines = (REQUIREMENTS / f"{one.environment}.txt").read_text().splitlines()
            assert all("==" in line for line in lines if not line.startswith("#"))
            assert "qdrant-client==1.20.0" in lines


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), limit=st.integers(1, 12), share=st.floats(0, 1))
def test_recall_is_the_share_of_the_truly_best_ones(seed: int, count: int, limit: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    points, queries = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (count, 3))
    allowed = rng.random(count) <= share
    allowed[0] = True
    best = [[row for row in np.argsort(-(points @ query)).tolist() if allowed[row]][:limit] for query in queries]
    wanted = len(best[0])
    kept = int(rng.integers(0, wanted + 1))
    found = [ids[wanted - kept :] for ids in best]
    assert recall(found, queries, points, limit=limit, allowed=allowed) == pytest.approx(kept / wanted)


def test_a_point_that_is_not_allowed_or_comes_twice_is_not_found_by_it() -> None:
    points = np.array([[3.0], [2.0], [1.0], [0.0]], dtype=np.float32)
    query = np.array([[1.0]], dtype=np.float32)
    allowed = np.array([False, True, True, True])
    assert recall([[0, 1]], query, points, limit=2, allowed=allowed) == 0.5
    assert recall([[1, 1]], query, points, limit=2) == 0.5
    assert recall([[0, 1]], query, points, limit=2) == 1.0


def test_of_equal_scores_any_will_do() -> None:
    points = np.ones((5, 4), dtype=np.float32)
    assert recall([[3, 4]], np.ones((1, 4), dtype=np.float32), points, limit=2) == 1.0


def test_recall_of_nothing_is_no_number() -> None:
    points = np.ones((5, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="there are none"):
        recall([], np.empty((0, 4), dtype=np.float32), points, limit=2)


def test_points_lie_around_the_vectors_that_they_are_made_of_and_are_the_same_in_every_run() -> None:
    around = np.random.default_rng(0).standard_normal((20, 32)).astype(np.float32)
    points = scattered(around, 200, np.random.default_rng(7))
    assert points.dtype == np.float32
    assert np.allclose(np.linalg.norm(points, axis=1), np.linalg.norm(around, axis=1).mean(), rtol=1e-5)
    assert np.array_equal(points, scattered(around, 200, np.random.default_rng(7)))
    cosines = points @ around.T / (np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(around, axis=1))
    assert cosines.max(axis=1).mean() > 2 * cosines.mean(axis=1).mean() + 0.5


def test_a_question_differs_from_its_text_in_some_words() -> None:
    texts = ["one two three four five six seven eight nine ten"] * 3
    questions = changed(texts, ["other"])
    for question in questions:
        assert question.split().count("other") == CHANGED
        assert len(question.split()) == 10
    assert changed(texts, ["other"]) == questions


def _talk_to(folder: Path) -> Conversation:
    command = [sys.executable, str(SCRIPTS / "answering.py"), "fake_searcher", json.dumps({"variant": ""})]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return Conversation(command, log=folder / "fake.log", environment=environment, patience=60)


def test_a_contestant_answers_with_times_ids_and_vectors(tmp_path: Path) -> None:
    with _talk_to(tmp_path) as conversation:
        assert conversation.ask(do="open", limit=2) == {}
        assert len(conversation.ask(do="singles", texts=["a", "bb"], filtered=False)["milliseconds"]) == 2
        assert conversation.ask(do="batch", texts=["a"])["seconds"] >= 0
        assert conversation.ask(do="together", texts=["a"] * 8, at_once=4) == {"seconds": 2.0}
        vectors = tmp_path / "vectors.npy"
        found = conversation.ask(do="found", texts=["a", "bb"], filtered=True, vectors=str(vectors))
        assert found["ids"] == [[101, 101], [102, 102]]
        assert np.load(vectors).tolist() == [[1.0, 1.0], [2.0, 1.0]]
        with pytest.raises(ContestantFailedError, match=r"^OSError: no server here$"):
            conversation.ask(do="singles", texts=["broken"], filtered=False)
        with pytest.raises(ContestantFailedError, match="'Fake' object has no attribute 'sing'"):
            conversation.ask(do="sing")
        assert conversation.ask(do="close") == {}
