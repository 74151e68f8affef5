"""The store: live node files, sealed files, and the objects that read both."""
