"""Datasets in buckets: addresses, providers, the writer's lease, and copies of logs."""
