"""The version, in a module that imports nothing: pyproject.toml and the HTTP session read it."""

__version__ = "0.1.0"
