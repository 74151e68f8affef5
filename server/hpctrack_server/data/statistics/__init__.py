"""Groups of a project's runs, compared with statistics."""
