"""What batch schedulers know of a job, while it runs and after: parsers, facts, accounting."""
