"""Searching side by side: the same questions over the same points, of one server, and embedded."""
