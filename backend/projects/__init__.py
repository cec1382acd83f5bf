"""What is being labelled, and what was said about it."""
