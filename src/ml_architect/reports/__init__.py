"""Looks closely at one run's predictions, or at a data set: self-contained HTML pages."""
