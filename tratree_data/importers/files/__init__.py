"""Files of strangers as streams: compressed or in archives, on the Hub, of any size; what is not a log is known by its name."""
