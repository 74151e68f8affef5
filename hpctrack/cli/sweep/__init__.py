"""Commands that say what a sweep has found, and how that looks."""
