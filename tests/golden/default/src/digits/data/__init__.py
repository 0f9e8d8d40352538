# The template's: updates improve this file and keep your edits.
"""Records: where they come from, whether they are sound, how batches are made of them."""
