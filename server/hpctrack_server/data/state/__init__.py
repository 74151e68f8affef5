"""What people keep of the dashboard itself: saved views and workspaces, in a database."""
