"""HTTP in, JSON out. Knows jobs; no torch, no Redis command, no training words."""
