"""Logs of invented worlds whose true trees are known, with kinds of noise that can be switched on one by one, and with traps."""
