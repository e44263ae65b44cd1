import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import MissingFieldError, SourceError
from tasb_qdrant.records import Passage, Reject
from tasb_qdrant.sources import open_sources
from tests.sources.corpus import COMPRESSIONS, read, read_with_rejects, with_lines, write


def records(count: int) -> list[dict[str, Any]]:
    marks = 'é 🦀 \\ "]},'
    return [{"id": n, "text": f"text {n} {marks}", "n": n / 3, "list": [n, {"a": "}"}]} for n in range(count)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_array_is_read_element_by_element(
    tmp_path: Path, indent: int | None, compression: str, ascii_only: bool
) -> None:
    wanted = records(20_000)
    data = json.dumps(wanted, indent=indent, ensure_ascii=ascii_only).encode()
    with open_sources([write(tmp_path / "c.json", COMPRESSIONS[compression](data))]) as reader:
        assert with_lines(reader) == [
            (n + 1, Passage(str(n), one["text"], None, {"n": one["n"], "list": one["list"]}))
            for n, one in enumerate(wanted)
        ]


def test_an_array_is_known_without_a_name() -> None:
    assert read("-", stdin=b'\n [ {"id": 1, "text": "t"} ]\n') == [Passage("1", "t")]
    assert read("-", stdin=b"[]", file_format="jsonl") == []


def test_elements_that_are_no_passages_are_rejects(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", '[1, {"id": 1, "text": ""}, "x", {"id": 2, "text": "t", "n": NaN}, 12.5]')
    passages, rejects = read_with_rejects(file)
    assert passages == [Passage("2", "t", None, {"n": None})]
    assert [reject.line for reject in rejects] == [1, 2, 3, 5]
    assert rejects[0].reason == "expected a JSON object, got a number"


@pytest.mark.parametrize(
    ("data", "element", "reason"),
    [
        ('[{"id": 1, "text": "t"}', 1, "expected a comma or the array's end, got 'the end of the file'"),
        ('[{"id": 1, "text": "t"} {"id": 2}]', 1, "expected a comma or the array's end, got '{'"),
        ('[{"id": 1, "text": "t"}, {"id": 2, "te', 2, "malformed JSON"),
        ('[{"id": 1, "text": "t"}, {"id": 2, "text" "t"}]', 2, "malformed JSON: Expecting ':' delimiter"),
        ('[{"id": 1, "text": "t"}, {"id": 2, "text": "t", "n": 1e400}]', 2, "the number 1e400 doesn't fit a float"),
        ('[{"id": 1, "text": "t"}] x', 1, "expected nothing after the array, got 'x'"),
        ('[{"id": 1, "text": "t"}, ]', 2, "malformed JSON"),
    ],
)
def test_a_broken_array_is_an_error_that_names_the_element(
    tmp_path: Path, data: str, element: int, reason: str
) -> None:
    read_before: list[Passage] = []
    with open_sources([write(tmp_path / "c.json", data)]) as reader, pytest.raises(SourceError) as broken:
        read_before.extend(reader)
    assert read_before == [Passage("1", "t")]
    assert (broken.value.line, reason in broken.value.reason) == (element, True), broken.value.reason


def test_missing_fields_are_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingFieldError, match="the fields are: key, doc"):
        open_sources([write(tmp_path / "c.json", '[{"key": 1, "doc": "t"}]')])


@pytest.mark.parametrize("large", [2, 300_000])
def test_an_array_takes_bounded_memory(tmp_path: Path, large: int) -> None:
    file = tmp_path / "c.json"
    with file.open("w") as out:
        out.write("[")
        for number in range(40 if large > 2 else 20_000):
            out.write(("," if number else "") + json.dumps({"id": number, "text": "word " * large}))
        out.write("]")
    tracemalloc.start()
    with open_sources([file]) as reader:
        assert sum(1 for _ in reader) == (40 if large > 2 else 20_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * 2**20


def test_an_element_too_long_to_hold_is_an_error(tmp_path: Path) -> None:
    data = '[{"id": 1, "text": "t"}, {"id": 2, "text": "' + "x" * (40 * 2**20)
    with open_sources([write(tmp_path / "c.json", data)]) as reader:
        assert next(reader) == Passage("1", "t")
        with pytest.raises(SourceError, match="element 2 of the JSON array: longer than 16,777,216 characters"):
            next(reader)


@pytest.mark.parametrize("depth", [33, 900, 100_000])
def test_a_deep_element_never_ends_in_a_traceback(tmp_path: Path, depth: int) -> None:
    file = write(tmp_path / "c.json", '[{"id": 1, "text": "t", "x": ' + "[" * depth + "]" * depth + "}]")
    rejects: list[Reject] = []
    with open_sources([file], on_reject=rejects.append) as reader:
        if depth > 20_000:  # deeper than any parser goes
            with pytest.raises(SourceError, match="nested deeper than 32"):
                next(reader)
        else:
            assert list(reader) == []
            assert "nested deeper than 32" in rejects[0].reason


def test_another_encoding_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", '[{"id": 1, "text": "é"}]'.encode("cp1252"))
    with pytest.raises(SourceError, match="--encoding cp1252"):
        read(file)
