"""The command line: parse, call the public API, render. Nothing here that Python can't reach."""
