"""The table of runs, its parts and its place. Pure."""
