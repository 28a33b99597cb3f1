"""Mutants: small faults put into a copy of the code, each of which a test must see."""
