"""The native engine: a small net's ticks generated as C, for one job or for one job per lane."""
