"""Readers of dataset formats: CSV, JSONL, NPZ, text. Knows no store and no HTTP.

Upload and trainer use the same readers, so that both see the same values.
"""
