"""The side that has the runs."""
