"""Masks, one for each label."""
