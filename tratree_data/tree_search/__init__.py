"""A tree → node values and paths; replaying paths in the environment."""
