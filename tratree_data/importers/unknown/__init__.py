"""Logs of tools that no reader knows, and tables: where in them the conversations, tasks and scores are."""
