"""The job protocol: every caller of the store's scripts."""
