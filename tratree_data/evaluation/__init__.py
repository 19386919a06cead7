"""A model in an environment → scores, and whether differences are significant."""
