"""Where the next point comes from, and which trial should stop: Optuna, behind one door."""
