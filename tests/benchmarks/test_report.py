"""A result becomes tables, JSON that reads back the same, and a section between markers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.encoding.report import quick_lines, render
from benchmarks.encoding.results import read_result, write_result
from benchmarks.encoding.turns import ROOT
from benchmarks.running.document import NoSectionError, with_section
from benchmarks.running.tables import table
from tests.benchmarks.samples import result


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_tables_show_rates_ratios_settings_and_agreement() -> None:
    text = render(result(), plots=["cpu-bulk.svg"])
    assert "![cpu-bulk.svg](performance/cpu-bulk.svg)" in text
    assert row(text, "| **tasb-qdrant, auto** | 200.0") == (
        "| **tasb-qdrant, auto** | 200.0 | 10.00 (10.00 to 12.00) | 64% | own, 2 | 0.99990 |"
    )
    assert row(text, "| sentence-transformers ONNX int8 |").split(" | ")[3] == "-"
    assert "10,000 passages in 40.0 s, 250.0 a second, 700 MiB at most" in text
    assert "| ours, words known | 88,889 | 9.00 (8.00 to 10.00) |" in text
    assert "- onnx: torch 2.13.0, onnxruntime 1.32.0" in text
    assert "bf16 2.00 TFLOP/s (2.00 to 2.00); memory bandwidth 20.0 GB/s" in text


def test_a_failure_stands_in_the_table_with_its_last_line_below() -> None:
    text = render(result())
    assert row(text, "| fastembed |").startswith("| fastembed | failed | -")
    assert text.count("- fastembed: ERROR: No matching distribution found") == 1


def test_a_peer_whose_vectors_disagree_is_marked() -> None:
    assert row(render(result()), "| LangChain | 1,000.0").endswith("| 0.40000 (not comparable) |")


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    width = 0
    for line in render(result()).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or line.count("|")
        assert line.count("|") == width, line
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_tables_of_a_gpu_show_its_memory_its_utilisation_and_its_own_targets() -> None:
    text = render(replace(result(), device="cuda"))
    assert "GPU memory, MiB" in text
    assert "MFU: of the GEMM peak" in text
    assert "| bulk | ≥ 85,000 passages/s | 200 (200 to 250) | not reached |" in text
    assert "| single query, p50 | ≤ 0.35 ms | 4.00 ms | not reached |" in text
    assert "st-fp32" not in text


def test_the_quick_report_is_one_line_a_scenario_and_contestant() -> None:
    lines = quick_lines(result())
    assert lines[0].split() == ["bulk", "tasb-qdrant,", "auto", "10.00", "(10.00", "to", "12.00)"]
    scenarios = [line[:11].strip() for line in lines]
    assert list(dict.fromkeys(scenarios)) == ["bulk", "query", "64 queries", "start-up", "memory", "tokenising"]
    assert len(lines) == 5 * 5 + 1  # sentence-transformers is what they are compared with, fastembed failed


def test_a_result_reads_back_as_it_was_and_keeps_lists_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "cpu.json"
    write_result(result(), path)
    assert read_result(path) == result()
    assert '"query_ms": [4.0, 4.0, 16.0]' in path.read_text()


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    document = "# By hand\n<!-- begin generated: cpu -->\nold\n<!-- end generated: cpu -->\nmore by hand\n"
    once = with_section(document, "cpu", "new | table\n")
    assert once.startswith("# By hand\n<!-- begin generated: cpu -->\n\nnew | table\n\n<!-- end")
    assert once.endswith("\nmore by hand\n")
    assert with_section(once, "cpu", "new | table") == once


@pytest.mark.parametrize("document", ["", "<!-- begin generated: cpu -->", "<!-- end generated: cpu -->"])
def test_a_document_without_the_markers_is_refused(document: str) -> None:
    with pytest.raises(NoSectionError, match="begin generated: cpu"):
        with_section(document, "cpu", "text")


def test_the_projects_document_has_the_markers() -> None:
    document = (ROOT / "docs" / "performance.md").read_text()
    for section in ("cpu", "gpu"):
        assert "replaced" in with_section(document, section, "replaced")


def test_plots_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra [bench]")
    from benchmarks.encoding.plots import draw

    names = draw(result(), tmp_path, "cpu")
    assert names == ["cpu-bulk.svg", "cpu-query.svg", "cpu-startup.svg", "cpu-memory.svg"]
    first = [(tmp_path / name).read_bytes() for name in names]
    draw(result(), tmp_path, "cpu")
    assert first == [(tmp_path / name).read_bytes() for name in names]
    assert b"bf16 GEMM peak" in first[0]
