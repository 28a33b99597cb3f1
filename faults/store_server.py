"""A store's server for tests, to be killed, frozen and started again. Knows no service."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jobs.store.connection import connect, wait_ready
from serving.embedded_store import find_server, server_command


class StoreServer:
    """A server on a unix socket, with the settings that serve.py gives it."""

    def __init__(
        self, binary: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.binary = binary or find_server()
        self.folder = Path(tempfile.mkdtemp(prefix="tickforge-", dir="/tmp"))
        self.socket = self.folder / "store.sock"
        self.url = f"unix://{self.socket}"
        self.environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, on its earlier log if there is one, unless it runs; wait until it answers."""
        command = server_command(self.binary, self.folder, self.socket)
        with self._lock:
            if self.has_ended():
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0,
                    env=None if self.environ is None else dict(self.environ),
                )  # fmt: skip
        client = connect(self.url)
        try:
            assert wait_ready(client, 10), "the store's server does not answer"
        finally:
            client.close()

    def kill(self) -> None:
        """Send SIGKILL; what it acknowledged is in its log."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def has_ended(self) -> bool:
        """Return whether it has ended, by itself or by a signal."""
        return self._process is None or self._process.poll() is not None

    def freeze(self) -> None:
        """Send SIGSTOP: it neither answers nor closes a connection."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT: it goes on where it stopped."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        with self._lock:
            if not self.has_ended():
                os.kill(self.pid, number)

    def remove(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_store(binary: Path | None = None) -> Iterator[StoreServer]:
    """Run a server for one test or module alone: it may be killed and started at will."""
    server = StoreServer(binary)
    try:
        server.start()
        yield server
    finally:
        server.remove()
