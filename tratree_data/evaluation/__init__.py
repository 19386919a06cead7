"""A model in an environment → scores, and what they prove."""
