"""Scores that come after the rollouts: from a table, a function, or a rubric that a model applies."""
