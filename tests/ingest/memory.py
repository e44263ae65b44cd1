"""How much memory a run of `ingest` takes: prints its peak in MiB.

python -m tests.ingest.memory (embedded|counting) SOURCE FOLDER
"""

from __future__ import annotations

import resource
import sys

from tasb_qdrant.collection import open as opening
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.ingest import ingest
from tests.ingest.fakes import CountingCollection, StubEncoder


def main(kind: str, source: str, folder: str) -> None:
    if kind == "counting":

        def open_counting(*_: object, **__: object) -> Collection:
            return CountingCollection()

        opening.open_for_writing = open_counting
    report = ingest(source, collection="c", path=folder, encoder=StubEncoder(), optimize=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(peak, report.stored, round(report.passages_per_second))


if __name__ == "__main__":
    main(*sys.argv[1:])
