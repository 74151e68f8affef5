"""What a rank has printed, as spans that a page may show."""
