"""One module per format of logs, with a second where a format is large: a file → records."""
