"""The last stage: batches to the collection, at the pace that it takes."""
