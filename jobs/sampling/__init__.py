"""Which rows are trained on or held out, in which order: pure functions. Knows no spec."""
