"""What the pages of one run show: a time line, efficiency, patches, configurations."""
