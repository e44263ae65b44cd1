"""What shells complete: commands and options, files, collections and fields."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.cli.conftest import Run
from tests.qdrant_servers import QdrantServer

BIN = Path(sys.executable).parent
SHELLS = ["bash", "zsh", "fish"]


def completed(shell: str, line: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What click's protocol answers for a line with the cursor at its end, as each shell's script asks it."""
    words = line.split(" ")
    monkeypatch.setenv("_TASB_QDRANT_COMPLETE", f"{shell}_complete")
    # Fish hands on the line up to the cursor, and the word there; the others all words, and the number of that word.
    monkeypatch.setenv("COMP_WORDS", "\n".join(words) if shell == "bash" else line)
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words) - 1))
    ran = run()
    monkeypatch.delenv("_TASB_QDRANT_COMPLETE")
    assert ran.code == 0, ran.err
    lines = [one for one in ran.out.splitlines() if one]
    if shell == "zsh":
        return [f"{kind},{key}" for kind, key in zip(lines[::3], lines[1::3], strict=False)]
    return [",".join(one.split("\t")[0].split(",")[:2]) for one in lines]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line",
    [
        "tasb-qdrant ingest pass",
        "tasb-qdrant ingest a.jsonl pass",
        "tasb-qdrant collection verify --source pass",
        "tasb-qdrant search --queries pass",
        "tasb-qdrant ingest --rejects pass",
        "tasb-qdrant ingest --model pass",
    ],
)
def test_file_names_are_left_to_the_shell(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str, line: str) -> None:
    [found] = completed(shell, line, run, monkeypatch)
    assert found.startswith("file,")


@pytest.mark.parametrize("shell", SHELLS)
def test_collections_are_those_of_the_store(
    run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch, shell: str, tmp_path: Path
) -> None:
    line = f"tasb-qdrant search x --path {notes} --collection "
    assert completed(shell, line, run, monkeypatch) == ["plain,notes"]
    assert completed(shell, line + "no", run, monkeypatch) == ["plain,notes"]
    assert completed(shell, line + "x", run, monkeypatch) == []
    assert completed(shell, "tasb-qdrant search x --collection ", run, monkeypatch) == []
    (tmp_path / "tasb-qdrant.toml").write_text(f'path = "{notes}"\n')
    assert completed(shell, "tasb-qdrant search x --collection ", run, monkeypatch) == ["plain,notes"]
    (tmp_path / "tasb-qdrant.toml").write_text("nonsense")
    assert completed(shell, line, run, monkeypatch) == ["plain,notes"]


@pytest.mark.parametrize("shell", SHELLS)
def test_fields_are_those_of_the_collection(run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    line = f"tasb-qdrant search x --path {notes} --collection notes --group-by "
    assert completed(shell, line, run, monkeypatch) == ["plain,lang", "plain,topic", "plain,year"]
    assert completed(shell, line.replace("--group-by ", "--field y"), run, monkeypatch) == ["plain,year"]
    assert completed(shell, "tasb-qdrant search x --field y", run, monkeypatch) == []
    assert completed(shell, "tasb-qdrant search x --collection none --field y", run, monkeypatch) == []


def test_a_server_s_collections_and_aliases_are_completed(
    run: Run, monkeypatch: pytest.MonkeyPatch, qdrant_1_17: QdrantServer, collection_name: str
) -> None:
    client = QdrantClient(url=qdrant_1_17.url, check_compatibility=False)
    client.create_collection(collection_name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    alias = f"{collection_name}-alias"
    create = models.CreateAlias(collection_name=collection_name, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    client.close()
    line = f"tasb-qdrant search x --url {qdrant_1_17.url} --grpc-port {qdrant_1_17.grpc_port} --collection tasb-test-"
    found = completed("bash", line, run, monkeypatch)
    assert {f"plain,{collection_name}", f"plain,{alias}"} <= set(found)


def test_a_server_that_is_gone_completes_nothing_and_says_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "tasb-qdrant search x --url http://127.0.0.1:1 --collection "
    assert completed("bash", line, run, monkeypatch) == []


def bash(line: str, script: str, folder: Path) -> list[str]:
    """What bash itself would offer for a line, its own completion of file names included where it is asked for it."""
    words = line.split(" ")
    code = f"""
compopt() {{ echo "OPTION $2"; }}
{script}
COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}
_tasb_qdrant_completion tasb-qdrant
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(["bash", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_itself_completes_files_options_and_collections(run: Run, notes: Path, tmp_path: Path) -> None:
    script = run("completion", "bash").out
    assert bash("tasb-qdrant ingest pas", script, tmp_path) == ["OPTION", "default"]
    assert bash("tasb-qdrant ing", script, tmp_path) == ["ingest"]
    assert "--collection" in bash("tasb-qdrant search --coll", script, tmp_path)
    assert bash(f"tasb-qdrant search --path {notes} --collection n", script, tmp_path) == ["notes"]


def test_what_is_completed_imports_no_torch(notes: Path, tmp_path: Path) -> None:
    code = """
import os, sys
from tasb_qdrant.cli.main import main
try: main()
except SystemExit: pass
sys.exit("torch" in sys.modules or "transformers" in sys.modules)
"""
    words = ["tasb-qdrant", "search", "--path", str(notes), "--collection", ""]
    environment = {"_TASB_QDRANT_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": "5"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "plain,notes\n"), done.stderr


def test_the_version_is_that_of_the_package(run: Run) -> None:
    import tasb_qdrant

    assert run("--version").out == f"tasb-qdrant, version {tasb_qdrant.__version__}\n"
    assert "__version__" in dir(tasb_qdrant)
