"""Rows for training: where they come from, and which make up a batch."""
