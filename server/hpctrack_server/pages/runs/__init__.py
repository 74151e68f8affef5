"""The table of runs, and what can be done in it."""
