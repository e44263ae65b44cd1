"""The records that stages pass to each other: passages in, hits out, and what a run reports."""

from tasb_qdrant.records.contract import ModelContract
from tasb_qdrant.records.hit import FacetCount, Hit, HitGroup
from tasb_qdrant.records.passage import (
    MAX_ID_CHARS,
    MAX_PAYLOAD_DEPTH,
    POINT_ID_NAMESPACE,
    IntegerIds,
    Passage,
    Reject,
    encoder_text,
    point_id,
)
from tasb_qdrant.records.report import IngestReport
from tasb_qdrant.records.roles import RoleFields
from tasb_qdrant.records.sparse import SparseVector, SparseVectors
from tasb_qdrant.records.verification import VerifyReport

__all__ = [
    "MAX_ID_CHARS",
    "MAX_PAYLOAD_DEPTH",
    "POINT_ID_NAMESPACE",
    "FacetCount",
    "Hit",
    "HitGroup",
    "IngestReport",
    "IntegerIds",
    "ModelContract",
    "Passage",
    "Reject",
    "RoleFields",
    "SparseVector",
    "SparseVectors",
    "VerifyReport",
    "encoder_text",
    "point_id",
]
