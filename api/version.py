"""The versions this service tells: its own and its contract's. A test holds them to pyproject."""

SERVICE = "0.1.0"
CONTRACT = "1"
