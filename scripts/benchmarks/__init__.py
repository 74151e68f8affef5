"""Benchmarks of hpctrack beside other trackers; ``scripts/bench`` is the way in."""
