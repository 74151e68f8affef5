"""What a sweep file says: its parts, checked to the last key."""
