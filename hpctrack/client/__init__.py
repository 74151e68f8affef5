"""What runs inside every rank: the standard library and nothing else."""
