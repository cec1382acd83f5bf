"""Outlines, one for each thing."""
