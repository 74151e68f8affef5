"""Comparing runs: a grid of panels that is saved as a workspace."""
