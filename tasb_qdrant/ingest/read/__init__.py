"""The first stage: passages from a source, checked, told apart, cut into windows."""
