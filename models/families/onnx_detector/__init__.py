"""Detectors that were trained elsewhere."""
