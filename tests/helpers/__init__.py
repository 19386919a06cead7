"""What several test modules share: small datasets, real servers on loopback, real data if it is available."""
