"""What a project's runs are, by column: filtered, sorted, grouped and paged."""
