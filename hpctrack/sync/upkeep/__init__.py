"""What the administrator of a store has that others push to: keys, quotas, a log, backups."""
