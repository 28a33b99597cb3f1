"""The lock on a data folder: one serve.py per folder, and no new store beside a dying one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: seconds to wait for the children of a killed serve.py to end
LOCK_TIMEOUT = 10.0


class BadFolder(Exception):
    """The data folder cannot be created, or is not a folder."""


class FolderInUse(Exception):
    """Another serve.py uses this data folder."""


@contextmanager
def data_folder_lock(folder: Path) -> Iterator[int]:
    """Lock `folder`/serve.lock and yield its file descriptor.

    The embedded store inherits the descriptor: when serve.py is killed, the folder stays locked
    until that store has ended too. Raises BadFolder, FolderInUse.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFolder(f"{folder} cannot be the data folder: {error.strerror}") from None
    descriptor = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _try_lock(descriptor):
        holder = _read_holder(descriptor)
        if _is_alive(holder) or time.monotonic() > deadline:
            raise FolderInUse(f"{folder} is in use by another serve.py (process {holder})")
        time.sleep(0.05)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # it is another user's
    return True
