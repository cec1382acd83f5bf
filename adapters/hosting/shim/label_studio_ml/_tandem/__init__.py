"""How Tandem finds a model's class, calls it and reads its answers; nothing here is imported by models."""
