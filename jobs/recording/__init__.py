"""The writing end of a history: calls, segments, and their move to files."""
