"""What a run has printed."""
