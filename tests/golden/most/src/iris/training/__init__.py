# The template's: updates improve this file and keep your edits.
"""The training core: one visible loop, and the parts that it is made of."""
