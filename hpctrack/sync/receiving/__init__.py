"""The side that keeps the store of a team: trusts nothing that it is told."""
