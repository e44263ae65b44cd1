"""Query and passage read together by a sequence classifier, to a score: the second stage of a search."""
