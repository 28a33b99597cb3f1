"""The published versions of the service and of its API contract. A test compares with pyproject."""

SERVICE = "0.1.0"
CONTRACT = "1"
