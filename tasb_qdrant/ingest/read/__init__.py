"""The first stage: passages from a source, checked, rid of repeats, cut into windows."""
