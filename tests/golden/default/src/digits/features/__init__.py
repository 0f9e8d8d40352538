# The template's: updates improve this file and keep your edits.
"""What happens to a record before the network sees it."""
