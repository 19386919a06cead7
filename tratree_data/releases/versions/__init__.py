"""A release compared with the previous one: what changed, what is reused, and which number that requires."""
