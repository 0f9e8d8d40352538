"""The `ml-architect` command: starts projects from the template, and keeps them up to date."""
