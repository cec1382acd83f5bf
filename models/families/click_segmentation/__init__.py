"""The outline of what an annotator points at, learnt from the outlines that were drawn before."""
