"""What outlives a killed run, and what the next one goes on from."""
