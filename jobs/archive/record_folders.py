"""Folders of small records: submissions, keys, datasets, secrets and tombstones, a file each.

Knows no store. A file is complete or absent. Disk space for a record can be reserved before the
store changes, so that a full disk refuses a request before anything is stored.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from jobs import fault_points
from jobs.files.artifacts import ArtifactStore, disk_full_as_store_full, make_folder, sync_folder

#: below the artifacts' root; the dot keeps it apart from every tenant's folder
ARCHIVE_FOLDER = "tickforge.archive"
RESERVED_BYTES = 1 << 20  # for one record, whose length is not known yet
ABANDONED_AFTER_SECONDS = 3600.0  # age from which a file in `incoming` is removed


class DiskReservation:
    """Disk space for one record that is not written yet: a file in `incoming`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def reserve(self) -> None:
        """Allocate the space. Raises OSError."""
        fault_points.hit("archive:write")
        os.posix_fallocate(self._descriptor, 0, RESERVED_BYTES)

    def commit(self, path: Path, data: bytes) -> None:
        """Write `data` into the reserved space and move it to `path`, durably."""
        os.ftruncate(self._descriptor, max(len(data), 1))
        os.pwrite(self._descriptor, data, 0)
        fault_points.hit("archive:fsync")
        os.fsync(self._descriptor)
        fault_points.hit("archive:rename")
        os.rename(self._path, path)
        sync_folder(path.parent)

    def release(self) -> None:
        """Close the file; remove it unless it was committed."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


class RecordFolders:
    """Lists, writes and deletes records. Every write raises StoreFull on a full disk."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self.root = files, files.root / ARCHIVE_FOLDER

    def path(self, folder: str, name: str) -> Path:
        """Return a record's path. Both names come from ids, never from a client's text."""
        return self.root / folder / f"{name}.json"

    @contextlib.contextmanager
    def reserve(self) -> Iterator[DiskReservation]:
        """Reserve space for one record; release it at the end of the block. Raises StoreFull."""
        with disk_full_as_store_full():
            incoming = self.root / "incoming"
            make_folder(incoming)
            reservation = DiskReservation(incoming / secrets.token_hex(16))
        try:
            with disk_full_as_store_full():
                reservation.reserve()
            yield reservation
        finally:
            reservation.release()

    def write(self, path: Path, data: bytes, reservation: DiskReservation | None = None) -> None:
        """Write a record durably, into the reserved space if there is one. Raises StoreFull."""
        with disk_full_as_store_full():
            if reservation is None:
                self._files.write(path, data)
            else:
                make_folder(path.parent)
                reservation.commit(path, data)

    def delete(self, path: Path) -> None:
        """Delete a record, if it exists."""
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            sync_folder(path.parent)

    def names(self, folder: str) -> list[str]:
        """List the names of a folder's records, sorted."""
        with contextlib.suppress(FileNotFoundError):
            entries = os.listdir(self.root / folder)
            return sorted(name[:-5] for name in entries if name.endswith(".json"))
        return []

    def split_names(self, folder: str) -> list[tuple[str, str]]:
        """List tenant and id of a folder's records, sorted."""
        return list(map(split_record_name, self.names(folder)))

    def sweep(self) -> None:
        """Remove reservations left by processes that died."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self.root / "incoming")):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                        os.unlink(entry.path)


def record_name(tenant: str, record_id: str) -> str:
    """Join tenant and id into a record's name; tenants have no dot in theirs."""
    return f"{tenant}.{record_id}"


def split_record_name(name: str) -> tuple[str, str]:
    """Split a record's name into tenant and id."""
    tenant, record_id = name.split(".", 1)
    return tenant, record_id
