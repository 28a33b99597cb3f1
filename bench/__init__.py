"""Measurements: ratios against bare PyTorch loops, latencies, recovery. Imports any room."""
