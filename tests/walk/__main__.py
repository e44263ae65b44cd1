"""`python -m tests.walk`: a new user's walk from `pip install`, in a clean environment; writes docs/walk.md.

`make test` walks the same steps in the environment in which it tries the wheel, but for those that need pandas.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT
from tests.walk.page import PAGE, page
from tests.walk.walking import walk


def main() -> None:
    """Everything is made below a temporary folder, and gone afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        environment, folder = Path(temporary) / "venv", Path(temporary) / "shop"
        folder.mkdir()
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", temporary, str(ROOT)], check=True)
        (wheel,) = Path(temporary).glob("*.whl")
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[demo]", "pandas"], check=True)
        PAGE.write_text(page(walk(environment, folder, pandas=True)))
    print(f"walked, and wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
