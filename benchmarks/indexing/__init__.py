"""When a load's vector index is best built: at the end, along with the load, or after a load without a graph."""
