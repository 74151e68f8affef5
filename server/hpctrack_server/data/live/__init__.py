"""The whole store at a glance: what is running, and how the store itself is."""
