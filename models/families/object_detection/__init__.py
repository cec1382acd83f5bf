"""Boxes around things, upright or rotated."""
