"""What all comparisons share: peers' environments, talking to peers, the machine, generated documents."""
