"""Saving space and removing rows for good: vacuum, compaction and purges."""
