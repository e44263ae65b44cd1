"""A run of `ingest` to be killed: prints a line for each window that it encodes, and for each phase.

python -m tests.ingest.resume.victim SOURCE (path|url) WHERE [GRPC_PORT]
"""

from __future__ import annotations

import sys

from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.settings import CollectionSettings
from tests.ingest.fakes import StubEncoder


def main(source: str, kind: str, where: str, grpc_port: str = "") -> None:
    phases: list[str] = []

    def tell(now: Progress) -> None:
        if now.phase not in phases:
            phases.append(now.phase)
            print(now.phase, flush=True)

    ingest(
        source,
        collection="c",
        path=where if kind == "path" else None,
        url=where if kind == "url" else None,
        grpc_port=int(grpc_port) if grpc_port else None,
        encoder=StubEncoder(before_encode=lambda call: print("window", call, flush=True)),
        settings=CollectionSettings(indexes={"year": "integer"}),
        on_progress=tell,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
