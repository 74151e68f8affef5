"""Parts of pages as pure functions: they know neither the store nor how it is read."""
