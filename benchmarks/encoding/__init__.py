"""Compare encoding: everyone over the same texts, in turns, each in its own environment."""
