"""Collections on a Qdrant server: reached, written, read, and kept in order."""
