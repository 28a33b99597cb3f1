"""`python -m tickforge_client`: the same as the command `tickforge`."""

from tickforge_client.cli import run

run()
