"""Where releases go: a folder, a bucket or the Hub."""
