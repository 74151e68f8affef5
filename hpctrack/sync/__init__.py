"""Pushing runs to another store: one connection, one stream in each direction."""
