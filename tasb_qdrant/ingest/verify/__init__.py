"""A collection and its source: compared, repaired, made equal."""

from tasb_qdrant.ingest.verify.run import verify

__all__ = ["verify"]
