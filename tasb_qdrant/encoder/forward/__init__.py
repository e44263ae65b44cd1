"""Token ids to vectors: the forward passes, and the choice among them."""
