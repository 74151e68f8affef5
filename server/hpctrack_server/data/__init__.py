"""Between the store and the pages: what is read, reduced to what a screen can show."""
