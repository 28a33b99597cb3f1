"""Temporary folders that outlive no process: locked while their owner lives, else removed.

The lock is the kernel's, on the folder itself: it ends with the last process that holds it, however
that ends, and a fork holds it too. Knows nothing of what is in a folder.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path


class LockedFolder:
    """A new folder of mode 700 among temporary files, which removes those of killed processes."""

    def __init__(self, prefix: str) -> None:
        """Remove all folders of this prefix whose owners are dead, then create one."""
        root = Path(tempfile.gettempdir())
        for name in os.listdir(root):
            if name.startswith(prefix):
                _remove_if_abandoned(root / name)
        self.path, self._lock_descriptor = _create(root, prefix)

    def remove(self) -> None:
        """Remove the folder at the owner's end."""
        shutil.rmtree(self.path, ignore_errors=True)


def _create(root: Path, prefix: str) -> tuple[Path, int]:
    """Create a folder and return it with the descriptor that holds its lock."""
    while True:
        folder = root / (prefix + secrets.token_hex(6))
        folder.mkdir(mode=0o700)
        with contextlib.suppress(OSError):
            lock_descriptor = _lock(folder)
            if folder.exists():  # else another process removed it before it was locked
                return folder, lock_descriptor


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock. Raises BlockingIOError if it is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_abandoned(folder: Path) -> None:
    with contextlib.suppress(OSError):  # locked, another user's, or already gone
        lock_descriptor = _lock(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock_descriptor)
