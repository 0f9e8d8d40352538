"""Reads a machine-learning project without importing or running it, and says what to change."""
