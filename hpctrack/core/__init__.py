"""What every layer shares: names, settings, the wire, the clock. Standard library only."""
