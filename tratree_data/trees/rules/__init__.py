"""What a merge sees through: presets, and rules learned from the log."""
