"""What is said between the two sides, and what follows from it. Pure, but for `conversation`."""
