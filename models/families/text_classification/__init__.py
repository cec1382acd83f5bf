"""One or several labels for a whole text."""
