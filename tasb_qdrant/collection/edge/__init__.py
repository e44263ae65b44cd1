"""Collections embedded in a folder: the Qdrant engine in this process."""
