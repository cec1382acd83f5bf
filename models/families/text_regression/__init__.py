"""A number for a whole text."""
