"""Collections as a whole: what there is, and what is done with it."""
