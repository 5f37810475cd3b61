"""Activity: stored events as a list, and one event in full."""
