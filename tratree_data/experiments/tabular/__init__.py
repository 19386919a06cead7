"""Weak to strong with hundreds of training runs: small networks that cook in the galley, many seeds trained and played side by side."""
