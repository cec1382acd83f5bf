"""How fast and how big is Tandem? One question per module; `python -m bench [NAME …]` answers them in tables."""
