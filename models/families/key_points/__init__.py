"""Named points in an image."""
