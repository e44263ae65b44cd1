"""What encodes nothing loads nothing: neither the model nor torch, and it works where the model can't be had."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import AsyncSearcher, Passage, Searcher, ingest, load_encoder
from tasb_qdrant.errors import ContractMismatchError, ModelNotFoundError, SearchTimeoutError
from tests.models import make_tasb_like, minilm_folder

pytestmark = pytest.mark.model

BEES = "A bee that found food dances the way to it."
OWLS = "Owls swallow mice whole."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two passages in the collection `c`, with words, and the file that they come from."""
    path = tmp_path_factory.mktemp("lazy")
    lines = [{"id": "bees", "text": BEES, "year": 2011}, {"id": "owls", "text": OWLS, "year": 1998}]
    (path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingest(path / "p.jsonl", collection="c", path=path / "store", model="minilm", bm25=True)
    return path


def loaded_by(code: str, folder: Path) -> list[str]:
    """Which of the heavy modules a process has imported after `code`, which finds the store in `store`."""
    heavy = "[m for m in ('torch', 'transformers', 'safetensors') if m in sys.modules]"
    code = f"import sys, json\nfrom tasb_qdrant import *\n{code}\nprint(json.dumps({heavy}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize("options", ["", ", model='minilm'", ", model=None, device='cpu'"])
def test_reads_words_and_recommendations_import_no_torch(folder: Path, options: str) -> None:
    code = f"""
with Searcher("c", path="store"{options}) as s:
    assert s.count() == 2
    assert set(s.get(["bees"])) == {{"bees"}}
    assert len(list(s.scroll())) == 2
    assert s.search("owls", mode="bm25")[0].id == "owls"
    assert s.search_batch(["owls"], mode="bm25")[0][0].id == "owls"
    assert s.recommend(["bees"])[0].id == s.more_like_this("bees")[0].id == "owls"
    assert s.notes == () and s.info().points == 2
"""
    assert loaded_by(code, folder) == []


def test_an_async_searcher_imports_no_torch_for_them(folder: Path) -> None:
    code = """
import asyncio
async def main():
    async with AsyncSearcher("c", path="store") as s:
        assert await s.count() == 2
        assert (await s.search("owls", mode="bm25"))[0].id == "owls"
asyncio.run(main())
"""
    assert loaded_by(code, folder) == []


@pytest.mark.parametrize("options", ["", ", model='minilm'", ", sync=True", ", bm25=True"])
def test_an_unchanged_source_imports_no_torch(folder: Path, options: str) -> None:
    code = f"""
report = ingest("p.jsonl", collection="c", path="store"{options})
assert (report.skipped, report.stored) == (2, 0), report
assert (report.device, report.precision, report.warnings) == ("", "", ()), report
assert report.model == "minilm"
"""
    assert loaded_by(code, folder) == []


def test_a_payload_that_changed_alone_imports_no_torch(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    changed = (tmp_path / "copy" / "p.jsonl").read_text().replace("1998", "1999")
    (tmp_path / "copy" / "p.jsonl").write_text(changed)
    code = "assert ingest('p.jsonl', collection='c', path='store').updated == 1"
    assert loaded_by(code, tmp_path / "copy") == []


@pytest.mark.parametrize(
    "command",
    [
        ["search", "--like", "bees"],
        ["search", "owls", "--mode", "bm25"],
        ["search", "owls", "--mode", "bm25", "--group-by", "year"],
        ["ingest", "p.jsonl"],
        ["ingest", "p.jsonl", "--model", "minilm"],
        ["collection", "info"],
        ["collection", "verify", "--source", "p.jsonl", "--sample", "0"],
    ],
    ids=" ".join,
)
def test_commands_that_encode_nothing_import_no_torch(folder: Path, command: list[str]) -> None:
    arguments = [*command, "--collection", "c", "--path", "store"]
    code = f"""
from tasb_qdrant.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end
"""
    assert loaded_by(code, folder) == []


def test_what_is_new_is_encoded_by_the_model_of_the_collection(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "store", tmp_path / "store")
    report = ingest([Passage("ants", "Ants carry leaves.")], collection="c", path=tmp_path / "store")
    assert (report.stored, report.model, report.device) == (1, "minilm", "cpu")
    assert report.precision
    with Searcher("c", path=tmp_path / "store") as searcher:
        assert searcher.search("who carries leaves?", limit=1)[0].id == "ants"


def test_a_collection_without_its_model_is_read_and_the_error_names_both(tmp_path: Path) -> None:
    model = make_tasb_like(tmp_path / "model", layers=1, dim=32, heads=2, hidden=64)
    where: dict[str, Any] = {"path": tmp_path / "store"}
    ingest([Passage("1", "one"), Passage("2", "two")], collection="c", model=model, **where)
    shutil.rmtree(model)
    said = r"the collection 'c' was made with the model .*model, which can't be loaded: no folder .* with --model"
    with Searcher("c", **where) as searcher:
        assert searcher.recommend(["1"])[0].id == "2"
        for _ in range(2):  # and it can be tried again
            with pytest.raises(ModelNotFoundError, match=said):
                searcher.search("one")
        assert searcher.count() == 2
    assert ingest([Passage("1", "one")], collection="c", **where).skipped == 1
    with pytest.raises(ModelNotFoundError, match=said):
        ingest([Passage("3", "three")], collection="c", **where)
    with Searcher("c", **where) as searcher:
        assert searcher.count() == 2


def test_another_model_or_another_wish_is_refused_before_anything_is_encoded(folder: Path, tmp_path: Path) -> None:
    other = make_tasb_like(tmp_path / "other", layers=1, dim=32, heads=2, hidden=64)
    shutil.copytree(folder / "store", tmp_path / "store")
    for wrong in ({"model": other}, {"normalize": False}, {"dim": 7}, {"query_prompt": "q: "}):
        options: Any = wrong
        with pytest.raises(ContractMismatchError, match="the collection 'c' was made with another model or other"):
            Searcher("c", path=tmp_path / "store", **options)
        with pytest.raises(ContractMismatchError, match="the collection 'c' was made with another model or other"):
            ingest(folder / "p.jsonl", collection="c", path=tmp_path / "store", **options)
    with Searcher("c", path=tmp_path / "store", normalize=True, dim=384) as searcher:
        assert searcher.search("owls", limit=1)[0].id == "owls"


def test_loading_the_model_does_not_count_for_a_search_s_timeout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*arguments: Any, **rest: Any) -> Any:
        time.sleep(1.5)  # longer than the timeout: what is shown is that it is not counted
        return load_encoder(*arguments, **rest)

    monkeypatch.setattr("tasb_qdrant.encoder.options.load_encoder", slowly)
    with Searcher("c", path=folder / "store", device="cpu") as searcher:
        assert searcher.search("owls", limit=1, timeout=1.0)[0].id == "owls"
        with pytest.raises(SearchTimeoutError):
            searcher.search("owls", timeout=1e-9)

    async def search() -> str:
        async with AsyncSearcher("c", path=folder / "store", device="cpu") as searcher:
            return (await searcher.search("owls", limit=1, timeout=1.0))[0].id

    assert asyncio.run(search()) == "owls"


def test_warming_up_loads_the_encoder_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[object] = []

    def counted(*arguments: Any, **rest: Any) -> Any:
        loads.append(arguments)
        return load_encoder(*arguments, **rest)

    monkeypatch.setattr("tasb_qdrant.encoder.options.load_encoder", counted)
    with Searcher("c", path=folder / "store") as searcher:
        assert loads == []
        searcher.warm_up()
        searcher.warm_up()
        searcher.search("owls")
        assert searcher.encoder.device == "cpu"
        assert len(loads) == 1
        assert searcher.notes == searcher.encoder.notes

    async def warm() -> None:
        async with AsyncSearcher("c", path=folder / "store") as searcher:
            await searcher.warm_up()
            assert len(loads) == 2
            await asyncio.gather(*(searcher.search(query) for query in ("owls", "bees")))
            assert searcher.encoder.contract.dim == 384

    asyncio.run(warm())
    assert len(loads) == 2


def test_a_model_s_folder_and_its_name_are_the_same_model(folder: Path) -> None:
    with Searcher("c", path=folder / "store", model=minilm_folder()) as searcher:
        assert searcher.search("owls", limit=1)[0].id == "owls"
