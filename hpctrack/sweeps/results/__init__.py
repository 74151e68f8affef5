"""What a sweep has found, and how it stands."""
