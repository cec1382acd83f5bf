"""Who asks, who shares, and what they may spend."""
