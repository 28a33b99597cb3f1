"""Compiles the loop ahead of the first job that needs it: python -m ticks.engines.graph."""

from ticks.engines.graph import compiling

print(compiling.find())
