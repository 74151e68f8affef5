"""Sweeps: a file says what to try, Slurm or this machine tries it, the runs say what was best."""
