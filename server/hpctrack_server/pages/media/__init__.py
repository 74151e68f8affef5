"""What a run has logged that is no number."""
