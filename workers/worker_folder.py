"""The worker's private folder: the template's socket, and notes its two processes leave there.

The worker's main process and its pool child share it; neither holds anything the other needs
alive. Knows no store and no trainer.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

JsonDict = dict[str, Any]

FOLDER_PREFIX = "tickforge-worker-"
#: a socket's path must fit into 108 bytes; a longer temporary folder than this is not used
MAX_ROOT_BYTES = 70


class WorkerFolder:
    """A folder of mode 700 that a lock ties to the worker's life, however that ends."""

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        if len(os.fsencode(root)) > MAX_ROOT_BYTES:
            root = Path("/tmp")
        _remove_abandoned(root)
        self.path, self._lock_descriptor = _create_locked_folder(root)

    @property
    def socket_path(self) -> Path:
        """Where the template listens."""
        return self.path / "template"

    def write(self, name: str, content: JsonDict) -> None:
        """Replace a note, whole."""
        draft = self.path / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(content))
        draft.rename(self.path / name)

    def read(self, name: str) -> JsonDict | None:
        """Return a note; None before it was written."""
        try:
            content: JsonDict = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return content

    def remove(self) -> None:
        """Remove the folder; the worker has ended."""
        shutil.rmtree(self.path, ignore_errors=True)


def _create_locked_folder(root: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor of its lock."""
    while True:
        folder = root / (FOLDER_PREFIX + secrets.token_hex(6))
        folder.mkdir(mode=0o700)
        with contextlib.suppress(OSError):
            lock_descriptor = _lock_folder(folder)
            if folder.exists():  # else another worker's sweep was quicker than the lock
                return folder, lock_descriptor


def _lock_folder(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; BlockingIOError where it is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_abandoned(root: Path) -> None:
    """Remove the folders of workers that were killed: nobody holds their locks."""
    for folder in root.glob(FOLDER_PREFIX + "*"):
        with contextlib.suppress(OSError):  # held, another user's, or swept by someone else
            lock_descriptor = _lock_folder(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock_descriptor)
