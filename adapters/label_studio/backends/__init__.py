"""Label Studio's own /api/ml: the registry of ML backends, kept here or in the Label Studio behind us."""
