"""Opening published releases, from a folder, a bucket or the Hub."""
