"""Handing trials to Slurm or to this machine."""
