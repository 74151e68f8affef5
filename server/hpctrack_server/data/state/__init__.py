"""What people have arranged in the dashboard: saved views and workspaces; in a database."""
