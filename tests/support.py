"""What several test files need: a real store's server, settings for it, specs to submit."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.settings import Settings
from jobs.store import connect, wait_ready
from serving.embedded_store import find_server, server_command

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "an-admin-key-of-the-tests-0123456789"


class StoreServer:
    """A server of our own on a unix socket, with the settings that serve.py gives it."""

    def __init__(self, binary: Path | None = None) -> None:
        self.binary = binary or find_server()
        self.folder = Path(tempfile.mkdtemp(prefix="tickforge-", dir="/tmp"))
        self.socket = self.folder / "store.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it (again, on what its log holds) and wait until it answers."""
        command = server_command(self.binary, self.folder, self.socket)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
        )
        client = connect(self.url)
        try:
            assert wait_ready(client, 10), "the store's server does not answer"
        finally:
            client.close()

    def kill(self) -> None:
        """SIGKILL; what it acknowledged is in its log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Kill it and remove all it has written."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_store(binary: Path | None = None) -> Iterator[StoreServer]:
    """A server for one test or module alone: it may be killed and started at will."""
    server = StoreServer(binary)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def environment(url: str, data: Path, **more: str) -> dict[str, str]:
    """The TICKFORGE_ variables of a service on this store and data folder."""
    return {
        "TICKFORGE_REDIS_URL": url,
        "TICKFORGE_DATA_DIR": str(data),
        "TICKFORGE_ADMIN_KEY": ADMIN_KEY,
        **more,
    }


def settings_for(url: str, data: Path, **more: str) -> Settings:
    """Settings of a service on this store and data folder."""
    return Settings.from_env(environment(url, data, **more))


def process_environment(url: str, data: Path, **more: str) -> dict[str, str]:
    """What a child process of a test sees: PATH, the repository, and `environment`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **environment(url, data, **more)}


def wait_until(happened: Any, seconds: float = 10, what: str = "it") -> Any:
    """Call `happened` until it gives something true, and return that.

    `seconds` are those of a quiet machine; a busy one is given three times as many.
    """
    deadline = time.monotonic() + 3 * seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return found


def small_spec(**changes: Any) -> dict[str, Any]:
    """Return a body of POST /v1/jobs that trains in moments; `changes` replace whole fields."""
    body: dict[str, Any] = {
        "model": {"family": "mlp", "hidden": [4]},
        "data": {
            "source": "synthetic",
            "kind": "regression",
            "samples": 32,
            "features": 3,
            "seed": 1,
        },
        "budget": {"ticks": 20},
        "batch_size": 8,
    }
    return json.loads(json.dumps({**body, **changes}))
