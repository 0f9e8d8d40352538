"""Runs of several processes, on one machine or on a cluster, and what they cost."""
