"""Predicts that live in the store alone: what may be asked, their records, what clients do."""
