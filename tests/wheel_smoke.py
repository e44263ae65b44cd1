"""`python -m tests.wheel_smoke FOLDER`: install the wheel in FOLDER into a clean environment, and use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT, Page
from tests.walk.walking import walk


def main(folder: Path) -> None:
    """Make the environment outside the tree, and run the installed program away from the sources."""
    (wheel,) = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as temporary:
        environment = Path(temporary) / "venv"
        run(sys.executable, "-m", "venv", str(environment))
        python, program = environment / "bin" / "python", environment / "bin" / "tasb-qdrant"
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run(*install, "--constraint", str(ROOT / "constraints.txt"), f"{wheel.resolve()}[demo]")
        assert "tasb-qdrant" in run(str(program), "--version", cwd=temporary)
        result = json.loads(run(str(program), "demo", "--json", cwd=temporary))
        assert result["report"]["points"] == 200, result["report"]
        assert [len(search["hits"]) for search in result["searches"]] == [3, 3, 3, 3]
        typed = "import tasb_qdrant, pathlib; print((pathlib.Path(tasb_qdrant.__file__).parent / 'py.typed').exists())"
        assert run(str(python), "-c", typed, cwd=temporary).strip() == "True"
        metadata = "import importlib.metadata as m; print(m.metadata('tasb-qdrant').get_payload())"
        page = Page("README.md", run(str(python), "-c", metadata, cwd=temporary))
        assert [link for link in page.links() if not link.startswith("https://")] == []
        folder = Path(temporary) / "shop"
        folder.mkdir()
        steps = list(walk(environment, folder, pandas=False))
    print(
        f"{wheel.name}: installed in a clean environment, 200 passages ingested and searched, {len(steps)} steps walked"
    )


def run(*command: str, cwd: str | None = None) -> str:
    """Its standard output; its errors and progress are shown as they come."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("QDRANT_", "PYTHONPATH"))}
    return subprocess.run(command, cwd=cwd, env=clean, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
