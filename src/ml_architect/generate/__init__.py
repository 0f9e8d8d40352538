"""New projects from the template, and updates of those that were made from it."""
