# The template's: updates improve this file and keep your edits.
"""How good the model is, and what it gets wrong."""
