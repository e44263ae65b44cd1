"""Queries in, runs out: what retrieval is measured with."""
