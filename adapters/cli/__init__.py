"""The command line: `tandem up`, its parts, and what an operator asks and changes."""
