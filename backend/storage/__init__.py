"""Where things are kept: rows in a database, files by their content."""
