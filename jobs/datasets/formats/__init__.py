"""What the bytes of a dataset mean: CSV, JSONL, NPZ, text. Knows no store and no HTTP.

A trainer reads its rows through the same files, so that both see the same values.
"""
