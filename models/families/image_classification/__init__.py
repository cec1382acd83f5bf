"""One or several labels for a whole image."""
