"""What Label Studio says and wants to hear: the only code that knows its words."""
