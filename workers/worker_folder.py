"""What the two processes of a worker share: its settings, and a private folder of small files.

The folder holds the fork server's socket and the JSON files that the main process and the pool
child leave for each other. Knows no store and no trainer.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.settings import Settings

FOLDER_PREFIX = "tickforge-worker-"
#: bytes of a temporary folder's path; beyond, /tmp is used: a socket's path must fit into 108
MAX_ROOT_BYTES = 70


class WorkerFolder:
    """A folder of mode 700, locked while its worker lives, so that a later worker can remove it."""

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        if len(os.fsencode(root)) > MAX_ROOT_BYTES:
            root = Path("/tmp")
        _remove_abandoned(root)
        self.path, self._lock_descriptor = _create_locked_folder(root)

    @property
    def socket_path(self) -> Path:
        """Path of the socket that the fork server listens on."""
        return self.path / "socket"

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace a JSON file atomically."""
        draft = self.path / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(content))
        draft.rename(self.path / name)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file's content, or None if it has not been written yet."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return content

    def remove(self) -> None:
        """Remove the folder at the worker's end."""
        shutil.rmtree(self.path, ignore_errors=True)


def _create_locked_folder(root: Path) -> tuple[Path, int]:
    """Create a folder and return it with the descriptor that holds its lock."""
    while True:
        folder = root / (FOLDER_PREFIX + secrets.token_hex(6))
        folder.mkdir(mode=0o700)
        with contextlib.suppress(OSError):
            lock_descriptor = _lock_folder(folder)
            if folder.exists():  # else another worker removed it before it was locked
                return folder, lock_descriptor


def _lock_folder(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock. Raises BlockingIOError if it is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_abandoned(root: Path) -> None:
    """Remove the folders of workers that were killed; their locks are free."""
    for folder in root.glob(FOLDER_PREFIX + "*"):
        with contextlib.suppress(OSError):  # locked, another user's, or already gone
            lock_descriptor = _lock_folder(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock_descriptor)


@dataclass(frozen=True)
class WorkerConfig:
    """One worker's name, queue ("cpu" or "cuda"), settings and folder."""

    name: str
    queue: str
    settings: Settings
    worker_folder: WorkerFolder

    @property
    def device(self) -> str:
        """Return the device that trainers of this worker compute on: a queue serves one kind."""
        return self.queue
