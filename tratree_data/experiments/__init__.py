"""Weak to strong, in miniature and at the paper's scale."""
