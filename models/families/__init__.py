"""The model families, one folder each: predict.py serves (no torch), fit.py trains (torch)."""
