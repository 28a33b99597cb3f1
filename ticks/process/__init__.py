"""The trainer's process: the fork server, its commands, the background writer."""
