"""Files of a store, reached without following links, and their hashes."""
