"""Where a push goes, and what carries it there."""
