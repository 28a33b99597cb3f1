"""A store alone for a measurement: the server that serve.py runs, in a temporary folder."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from jobs.store.connection import Store, connect, wait_ready
from serving.embedded_store import find_server, server_command


def silence_logs() -> None:
    """Discard the app's log."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


@dataclass(frozen=True)
class RunningStore:
    """A store's address, a client of it, and a folder beside it."""

    url: str
    client: Store
    folder: Path


@contextmanager
def running_store() -> Iterator[RunningStore]:
    """Run a store with the settings of serve.py, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="tickforge-bench-", dir="/tmp") as name:
        folder = Path(name)
        command = server_command(find_server(), folder, folder / "store.sock")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        url = f"unix://{folder / 'store.sock'}"
        client = connect(url)
        try:
            if not wait_ready(client, 10):
                raise TimeoutError("the store does not answer")
            yield RunningStore(url, client, folder)
        finally:
            client.close()
            process.kill()
            process.wait()
