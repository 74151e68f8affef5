"""What people type into the dashboard: filters of runs and expressions of metrics. Pure."""
