"""One number for a whole image."""
