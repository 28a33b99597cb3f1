"""Rows for training: their sources, and the batch of each tick. Knows no net and no engine."""
