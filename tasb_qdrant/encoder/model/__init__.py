"""A model's files: found, fetched, checked and read."""
