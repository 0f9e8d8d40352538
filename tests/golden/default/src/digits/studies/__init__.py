# The template's: updates improve this file and keep your edits.
"""Studies: each runs training several times to answer one question."""
