"""Answers of trained nets: predictions and evaluations. Knows no frame and no store."""
