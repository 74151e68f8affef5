"""Comparing groups of runs with statistics. Pure: arrays go in, numbers come out."""
