"""The HTTP API. Knows jobs; no torch, no Redis command, no training terms."""
