"""Ranks x steps: a metric of all ranks, shrunk to the pixels of a heat map."""
