"""Studies: each starts ordinary training runs of a project to answer one question."""
