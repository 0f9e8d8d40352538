"""Reads the files of training runs: docs/run-format.md."""
