"""What panels over many runs show, as numbers: pure arithmetic, one module a kind."""
