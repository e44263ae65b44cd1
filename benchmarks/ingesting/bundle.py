"""What a GPU machine without a network needs beside a checkout: `python -m benchmarks.ingesting.bundle FOLDER`.

Some 50 MB: Qdrant's executable, the packages that an environment with PyTorch and transformers lacks, a tokenizer, and
passages. There, `python3 -m benchmarks.ingesting.bundled FOLDER` unpacks it and measures.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.encoding.texts import data_folder
from benchmarks.ingesting.bundled import CORPUS, PACKAGE, POOL, QDRANT, TOKENIZER, WHEELS
from benchmarks.ingesting.commands import ROOT
from benchmarks.loading.turns import VERSION
from tests.models import TOKENIZER_FILES, minilm_folder
from tests.qdrant_binaries import executable

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
PYTHON: Final = "3.12"
GLIBC: Final = ("2_34", "2_31", "2_28", "2_27", "2_17")
_STRIP: Final = "strip"

_STUB: Final = '''"""The tokenizer alone, for the package of this name."""


def get_model_path():
    return __file__.rpartition("/")[0] + "/model"
'''


def make(folder: Path, *, python: str) -> None:
    """Everything anew but the wheels, which pip doesn't fetch again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / QDRANT).write_bytes(lzma.compress(_stripped(executable(VERSION))))
    pool = data_folder() / POOL / CORPUS
    if pool.is_file():
        (folder / f"{CORPUS}.xz").write_bytes(lzma.compress(pool.read_bytes()))
    _write_tokenizer(folder / TOKENIZER / PACKAGE)
    _download(folder / WHEELS, python)


def _stripped(binary: Path) -> bytes:
    """Without the names that only debuggers read, half of it; as it is where there is no `strip`."""
    if shutil.which(_STRIP) is None:
        return binary.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / binary.name
        subprocess.run([_STRIP, "-o", str(stripped), str(binary)], check=True)
        return stripped.read_bytes()


def _write_tokenizer(package: Path) -> None:
    (package / "model").mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(_STUB)
    for name in TOKENIZER_FILES:
        shutil.copyfile(minilm_folder() / name, package / "model" / name)


def _download(wheels: Path, python: str) -> None:
    platforms = [f"--platform=manylinux_{glibc}_x86_64" for glibc in GLIBC]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}", *platforms, "--platform=manylinux2014_x86_64"]
    command += ["--constraint", str(ROOT / "constraints.txt"), "--requirement", str(REQUIREMENTS)]
    subprocess.run([*command, "--dest", str(wheels)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=PYTHON, help="that of the GPU machine")
    options = parser.parse_args()
    make(options.folder, python=options.python)
    size = sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file()) / 2**20
    print(f"{options.folder}: {size:.0f} MiB. Take it along with this checkout, and run there:")
    print(f"python3 -m benchmarks.ingesting.bundled {options.folder}")


if __name__ == "__main__":
    main()
