"""Compare loading: prepared points, into a server on loopback."""
