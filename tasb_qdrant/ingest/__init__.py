"""THE WRITE PATH: passages -> windows -> encoder -> uploader -> collection."""

from tasb_qdrant.ingest.rejects.lines import RejectedLines
from tasb_qdrant.ingest.run import ingest
from tasb_qdrant.ingest.verify.plan import SyncPlan, plan_sync

__all__ = ["ingest", "plan_sync", "RejectedLines", "SyncPlan"]
