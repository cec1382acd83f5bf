"""Training runs that somebody described: checked, started, listed, removed."""
