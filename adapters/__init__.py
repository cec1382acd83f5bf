"""How others speak to Tandem: each folder owns one foreign contract."""
