"""What is connected to this server, and what comes in from there."""
