"""A run of `ingest` to be killed: prints the count of stored passages, and the phases, as it goes.

python -m tests.ingest.victim SOURCE (path|url) WHERE [GRPC_PORT]
"""

from __future__ import annotations

import sys

from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.settings import CollectionSettings
from tests.ingest.fakes import StubEncoder


def main(source: str, kind: str, where: str, grpc_port: str = "") -> None:
    told = [-1, ""]

    def tell(now: Progress) -> None:
        if told != [now.stored, now.phase]:
            told[:] = [now.stored, now.phase]
            print(now.stored, now.phase, flush=True)

    ingest(
        source,
        collection="c",
        path=where if kind == "path" else None,
        url=where if kind == "url" else None,
        grpc_port=int(grpc_port) if grpc_port else None,
        encoder=StubEncoder(),
        settings=CollectionSettings(indexes={"year": "integer"}),
        on_progress=tell,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
