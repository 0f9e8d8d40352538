# The template's: updates improve this file and keep your edits.
