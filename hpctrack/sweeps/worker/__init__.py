"""Running trials in an allocation: who takes which, and how they end."""
