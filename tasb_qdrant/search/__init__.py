"""THE READ PATH: query -> encoder -> collection -> hits."""

from tasb_qdrant.search.searcher import Searcher

__all__ = ["Searcher"]
