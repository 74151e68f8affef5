"""Ranks and nodes of one run: heat maps, stragglers, hardware."""
