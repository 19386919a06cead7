"""Merging, splitting, filtering and deleting datasets."""
