"""Writing tables: staged files, rollout rows, and commits of several tables that become visible together."""
