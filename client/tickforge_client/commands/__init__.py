"""The commands of the CLI, one file a noun."""
