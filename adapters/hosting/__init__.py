"""Serves models that somebody wrote for Label Studio's own ML backend, unmodified and in a process of their own."""
