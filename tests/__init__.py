"""Tests: flat; names are sentences."""
