"""Messages in any dialect → the turns of one conversation → steps."""
