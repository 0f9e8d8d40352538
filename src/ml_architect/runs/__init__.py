"""Reads what training runs leave behind: docs/run-format.md."""
