"""What a program that knows only the address can find out: OpenAPI, guides, an interactive page."""
