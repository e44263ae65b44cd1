"""`python -m tasb_qdrant.collection.edge_optimize FOLDER`: build an embedded shard's vector index.

A process of its own, run by EdgeCollection.optimize: the engine's build holds the interpreter's lock.
"""

from __future__ import annotations

import sys

import qdrant_edge as edge


def main(folder: str) -> None:
    """Optimize until nothing is left to do, and write everything to disk."""
    shard = edge.EdgeShard.load(folder)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main(sys.argv[1])
