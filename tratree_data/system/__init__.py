"""What the machine offers: scratch folders, worker processes, progress, hashing, compilation."""
