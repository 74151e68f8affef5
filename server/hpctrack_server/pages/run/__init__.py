"""The pages of one run: overview, charts, configuration, files, code."""
