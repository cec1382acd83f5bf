"""What was learned: registered, promoted, handed out."""
