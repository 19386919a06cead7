"""Removing secrets and personal data from everything that is published."""
