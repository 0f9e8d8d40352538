# The template's: updates improve this file and keep your edits.
"""The project's package; `errors.py` and `protocols.py` are the place to begin reading."""
