"""THE READ PATH: query -> encoder -> collection -> hits."""

from tasb_qdrant.search.async_searcher import AsyncSearcher
from tasb_qdrant.search.hits import HitGroups, Hits
from tasb_qdrant.search.searcher import Searcher

__all__ = ["AsyncSearcher", "HitGroups", "Hits", "Searcher"]
