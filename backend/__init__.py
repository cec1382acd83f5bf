"""What the server decides and remembers. Knows nothing of HTTP, of Label Studio's words, or of a tensor."""
