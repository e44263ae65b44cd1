"""THE WRITE PATH: passages -> windows -> encoder -> uploader -> collection."""

from tasb_qdrant.ingest.run import ingest

__all__ = ["ingest"]
