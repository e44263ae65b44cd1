"""THE READ PATH: query -> encoder -> collection -> hits."""

from tasb_qdrant.search.async_searcher import AsyncSearcher
from tasb_qdrant.search.hits import Hits
from tasb_qdrant.search.searcher import Searcher

__all__ = ["AsyncSearcher", "Hits", "Searcher"]
