"""Loading side by side: points that are ready, into a server on loopback."""
