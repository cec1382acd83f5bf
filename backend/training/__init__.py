"""The life of training runs: from the wish to train to a registered version."""
