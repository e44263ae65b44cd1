"""Text to vectors: loading a model safely, tokenising, batching, and the forward pass."""

from tasb_qdrant.encoder.load import load_encoder, named_by
from tasb_qdrant.encoder.protocol import Encoder, TokenBatch

__all__ = ["Encoder", "TokenBatch", "load_encoder", "named_by"]
