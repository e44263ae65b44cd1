"""Encoding side by side: everyone over the same texts, in turns, each in an environment of its own."""
