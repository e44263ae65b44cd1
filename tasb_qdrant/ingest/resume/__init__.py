"""What outlives a killed run, and lets the next one resume it."""
