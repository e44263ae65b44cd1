"""THE WRITE PATH: passages -> windows -> encoder -> uploader -> collection."""

from tasb_qdrant.ingest.plan import SyncPlan, plan_sync
from tasb_qdrant.ingest.rejected import RejectedLines
from tasb_qdrant.ingest.run import ingest

__all__ = ["ingest", "plan_sync", "RejectedLines", "SyncPlan"]
