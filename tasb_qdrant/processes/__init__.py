"""Processes of our own that do pieces of work: started once, fed through pipes, ended with their owner."""
