"""Tables → versioned releases, in a folder, a bucket or on the Hub: redacted, compared with the previous version, and described."""
