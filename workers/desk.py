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

Note = dict[str, Any]

PREFIX = "tickforge-worker-"
#: a socket's path must fit into 108 bytes; a longer temporary folder than this is not used
LONGEST_ROOT = 70


class Desk:
    """A folder of mode 700 that a lock ties to the worker's life, however that ends."""

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        if len(os.fsencode(root)) > LONGEST_ROOT:
            root = Path("/tmp")
        _sweep(root)
        self.folder, self._lock = _fresh(root)

    @property
    def socket(self) -> Path:
        """Where the template listens."""
        return self.folder / "template"

    def write(self, name: str, note: Note) -> None:
        """Replace a note, whole."""
        draft = self.folder / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(note))
        draft.rename(self.folder / name)

    def read(self, name: str) -> Note | None:
        """Return a note; None before it was written."""
        try:
            note: Note = json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None
        return note

    def clear(self) -> None:
        """Remove the folder; the worker has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _fresh(root: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor of its lock."""
    while True:
        folder = root / (PREFIX + secrets.token_hex(6))
        folder.mkdir(mode=0o700)
        with contextlib.suppress(OSError):
            lock = _lock(folder)
            if folder.exists():  # else another worker's sweep was quicker than the lock
                return folder, lock


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock; BlockingIOError where it is held."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _sweep(root: Path) -> None:
    """Remove the folders of workers that were killed: nobody holds their locks."""
    for folder in root.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # held, another user's, or swept by someone else
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
