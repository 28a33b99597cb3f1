"""The engines: ways to execute ticks, all with the interface `Engine` of chunk.py."""
