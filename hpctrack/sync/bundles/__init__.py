"""A push in one file, for places that only a disk in a pocket reaches."""
