"""Run the command `tickforge` as `python -m tickforge_client`."""

from tickforge_client.cli import run

run()
