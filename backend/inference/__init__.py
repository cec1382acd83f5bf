"""How predictions are asked for and made, in the web process."""
