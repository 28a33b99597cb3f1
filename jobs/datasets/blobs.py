"""Files with the bytes of datasets, one for all datasets of the same bytes.

Every file has a path of its own, never used again: blobs/<2 hex>/<sha256>_<nonce>. The script that
adds a dataset decides which file holds its bytes; so removing a file after its last dataset was
deleted can never hit a newer file of the same bytes.
"""

import contextlib
import fcntl
import os
import re
import secrets
import time
from pathlib import Path
from typing import BinaryIO

from jobs import fault_points
from jobs.files.artifacts import ArtifactStore, create_file, make_folder, sync_folder
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts

BLOBS, INCOMING = "blobs", "incoming"
BLOB_PATH = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{64}_[0-9a-f]{16}")
#: age from which a stored file that no dataset claimed is removed
UNCLAIMED_AFTER_MS = 3_600_000
MIN_ABANDONED_SECONDS = 60.0  # a new upload file exists for a moment before it is locked


class Blobs:
    """Stores blobs, and removes those that no dataset refers to."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files, self._scripts = store, files, Scripts(store)

    def new_upload_file(self) -> tuple[Path, BinaryIO]:
        """Create a file for an upload; it is locked as long as it is open."""
        folder = self._files.root / BLOBS / INCOMING
        make_folder(folder)
        path = folder / secrets.token_hex(16)
        file = create_file(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        return path, file

    def store(self, path: Path, sha256: str) -> str:
        """Move a durable upload file to its path as a blob and return that path (below the root).

        Its deletion is scheduled first, so that a crash before a dataset claims it leaves nothing.
        """
        name = f"{BLOBS}/{sha256[:2]}/{sha256}_{secrets.token_hex(8)}"
        self._scripts.call("schedule_blob_deletion", {"path": name, "ms": UNCLAIMED_AFTER_MS})
        target = self._files.root / name
        make_folder(target.parent)
        fault_points.hit("upload:rename")
        os.rename(path, target)
        sync_folder(target.parent)
        return name

    def discard(self, name: str) -> None:
        """Remove a blob that no dataset refers to."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            sync_folder(path.parent)
        self._store.zrem(keys.PENDING_BLOB_DELETIONS, name)

    def open(self, name: str) -> BinaryIO:
        """Open a blob for reading. Raises FileNotFoundError or UnsafePath."""
        return self._files.open(self._path(name))

    def sweep(self) -> None:
        """Remove blobs that are due for deletion, and upload files of dead processes."""
        for name in self._scripts.call("due_blob_deletions", {}):
            self.discard(name.decode())
        folder = self._files.root / BLOBS / INCOMING
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(folder)):
                _remove_if_abandoned(Path(entry.path))

    def _path(self, name: str) -> Path:
        assert BLOB_PATH.fullmatch(name), "a blob's path is made here"
        return self._files.root / name


def _remove_if_abandoned(path: Path) -> None:
    """Remove an upload file that no process holds locked."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        if time.time() - os.fstat(file.fileno()).st_mtime > MIN_ABANDONED_SECONDS:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
