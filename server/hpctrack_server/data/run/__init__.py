"""What the pages of one run ask beyond its record: attempts, provenance, files, console."""
