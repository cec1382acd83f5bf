"""Labelled parts of a text, which may overlap."""
