"""Answers that are kept here: one image, many, and how good they are."""
