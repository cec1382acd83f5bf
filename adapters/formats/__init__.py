"""Data sets in files: annotations read from and written into the forms that people exchange."""
