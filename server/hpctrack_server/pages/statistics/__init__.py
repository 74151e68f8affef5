"""Groups of runs compared with statistics."""
