"""Disk space that is taken before the store changes, so that a full disk leaves nothing half done.

A reservation is an allocated file in `incoming`; a rename makes it a record. The files in `reserve`
are kept for changes of what exists: cancels and deletions, which make room on a full disk. Knows no
store.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from jobs import fault_points
from jobs.errors import StoreFull
from jobs.files.artifacts import make_folder, sync_folder, translate_disk_errors

RESERVED_BYTES = 1 << 20  # for a record whose length is not known yet
CHANGE_BYTES = 1 << 16  # for the short record of a change
RESERVE_COUNT = 64  # changes that a full disk still takes, each of CHANGE_BYTES
ABANDONED_AFTER_SECONDS = 3600.0  # age from which a file in `incoming` is removed


class DiskReservation:
    """Disk space for one record that is not written yet: an open file in `incoming`."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)

    def allocate(self, size: int) -> None:
        """Allocate the space. Raises OSError."""
        fault_points.hit("archive:write")
        os.posix_fallocate(self._descriptor, 0, size)

    def commit(self, path: Path, data: bytes) -> None:
        """Write `data` into the reserved space and move it to `path`, durably. Raises OSError."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], written)
        os.ftruncate(self._descriptor, len(data))
        fault_points.hit("archive:fsync")
        os.fsync(self._descriptor)
        fault_points.hit("archive:rename")
        self.move(path)
        sync_folder(path.parent)

    def sync(self) -> None:
        """Write a byte and bring it to disk. Raises StoreFull or DiskUnavailable."""
        with translate_disk_errors():
            os.pwrite(self._descriptor, b"\n", 0)
            fault_points.hit("archive:fsync")
            os.fsync(self._descriptor)

    def move(self, path: Path) -> None:
        """Move the file to `path`, and keep it. Raises OSError."""
        os.rename(self._path, path)

    def release(self) -> None:
        """Close the file; remove it unless it was committed."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):  # swept later
            self._path.unlink(missing_ok=True)


class DiskReserve:
    """Takes disk space below one folder. Every method may raise StoreFull or DiskUnavailable."""

    def __init__(self, root: Path) -> None:
        self._incoming, self._reserve = root / "incoming", root / "reserve"

    @contextlib.contextmanager
    def reserve(self, size: int = RESERVED_BYTES) -> Iterator[DiskReservation]:
        """Reserve `size` bytes for one new record; release them at the end of the block."""
        reservation = self._allocate(size)
        try:
            yield reservation
        finally:
            reservation.release()

    @contextlib.contextmanager
    def reserve_change(self) -> Iterator[DiskReservation]:
        """Reserve CHANGE_BYTES for a change of something that exists, on a full disk too."""
        try:
            reservation = self._allocate(CHANGE_BYTES)
        except StoreFull:
            reservation = self._take_prepared()
        try:
            yield reservation
        finally:
            reservation.release()

    def refill(self) -> None:
        """Allocate the files that `reserve` lacks. Raises StoreFull or DiskUnavailable."""
        with translate_disk_errors():
            make_folder(self._reserve)
            missing = set(map(str, range(RESERVE_COUNT))) - set(os.listdir(self._reserve))
        for name in missing:
            with self.reserve(CHANGE_BYTES) as reservation, translate_disk_errors():
                reservation.move(self._reserve / name)

    def sweep(self) -> None:
        """Remove reservations left by processes that died."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self._incoming)):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                        os.unlink(entry.path)

    def _allocate(self, size: int) -> DiskReservation:
        with translate_disk_errors():
            make_folder(self._incoming)
            reservation = DiskReservation(self._new_path(), os.O_CREAT | os.O_EXCL)
        try:
            with translate_disk_errors():
                reservation.allocate(size)
        except BaseException:
            reservation.release()
            raise
        return reservation

    def _take_prepared(self) -> DiskReservation:
        """Take a file of `reserve`: a rename, which only one process can do. Raises StoreFull."""
        with translate_disk_errors():
            for name in os.listdir(self._reserve) if self._reserve.exists() else ():
                path = self._new_path()
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    os.rename(self._reserve / name, path)
                    return DiskReservation(path)
        raise StoreFull("the disk is full, and the space kept for changes is used up")

    def _new_path(self) -> Path:
        return self._incoming / secrets.token_hex(16)
