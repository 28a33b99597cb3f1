"""Reads of the store that change nothing: jobs, events, notices, workers, counts."""
