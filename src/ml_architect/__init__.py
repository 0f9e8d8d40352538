"""The `ml-architect` command: makes and updates projects, runs studies, writes reports."""
