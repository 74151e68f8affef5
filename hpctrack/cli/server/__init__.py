"""Commands for whoever looks after a store that others push to."""
