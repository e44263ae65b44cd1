"""What side-by-side measurements share: peers' environments, talking to them, the machine, generated documents."""
