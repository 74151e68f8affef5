"""The whole store: what is running, and how the store is."""
