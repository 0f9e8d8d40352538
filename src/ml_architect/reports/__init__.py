"""HTML reports on the predictions of a run, or on a dataset."""
