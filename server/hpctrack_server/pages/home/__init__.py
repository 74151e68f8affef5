"""The first page: all projects."""
