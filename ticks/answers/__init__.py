"""Answers of trained nets: predictions, evaluations, exports. Knows no frame and no store."""
