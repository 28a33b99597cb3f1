"""Histories in the formats of experiment trackers, as files that need none of their packages."""
