"""Text to vectors: loading a model safely, tokenising, batching, and the forward pass."""

from tasb_qdrant.encoder.cross.encoder import CrossEncoder
from tasb_qdrant.encoder.cross.load import load_cross_encoder
from tasb_qdrant.encoder.load import load_encoder
from tasb_qdrant.encoder.model.resolve import named_by
from tasb_qdrant.encoder.protocol import Encoder, PlacesTokens, TokenBatch

__all__ = ["CrossEncoder", "Encoder", "PlacesTokens", "TokenBatch", "load_cross_encoder", "load_encoder", "named_by"]
