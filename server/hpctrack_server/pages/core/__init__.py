"""The read API that all pages share, and its events."""
