"""Cross-encoders, which read query and passage together and give a score: the second stage of a search."""
