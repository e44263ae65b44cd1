"""Compare searching: the same queries over the same points, on one server, and embedded."""
