"""Some whole trees at a time: where they are, their arrays, and the seam through which stages work on them."""
