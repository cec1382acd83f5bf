"""How networks learn; with the families' fit.py the only home of torch."""
