"""Comparing groups of runs with statistics. Pure: arrays go in, numbers come out.

Seeds make the same program give different numbers, and three of them say little. Everything here
therefore comes with an interval or a warning: `describe` and `compare_groups` are what pages call,
the modules beside them hold one idea each, with the source of every formula.
"""
