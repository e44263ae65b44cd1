"""An encoder on several devices: a process for each."""
