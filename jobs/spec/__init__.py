"""The JobSpec: its parts, and the rules between them. Knows no torch."""
