"""Answers to clicks, boxes and strokes; nothing here imports torch."""
