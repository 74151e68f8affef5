"""What runs have logged that is no number: found, read and shrunk to what a page shows."""
