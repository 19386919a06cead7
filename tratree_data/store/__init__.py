"""Everything that opens, commits or removes tables."""
