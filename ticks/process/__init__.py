"""The trainer's process: the fork server that starts it, its commands, its background writer."""
