"""Uploaded datasets: upload, profile, storage, rows, deletion. Knows no HTTP and no tensor."""
