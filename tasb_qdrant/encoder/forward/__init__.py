"""Token ids to vectors: the forward passes, and which one is taken."""
