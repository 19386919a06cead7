"""What readers see first: the card, its front matter, and croissant.json."""
