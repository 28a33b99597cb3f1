"""Folders of small records beside the jobs' own: what was submitted, keys, datasets, tombstones.

One file a thing, whole or not there. Room for one can be taken before the store is told of it, so
that a full disk refuses before anything is stored. Knows no store.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from jobs import fault_points
from jobs.files.artifacts import ArtifactStore, disk_full_as_store_full, make_folder, sync_folder

#: below the artifacts' root; no tenant can have this name, for it has a dot
ARCHIVE_FOLDER = "tickforge.archive"
RESERVED_BYTES = 1 << 20  # bytes that are taken for a record before it is known how long it is
ABANDONED_AFTER_SECONDS = 3600.0  # after which what lies in `incoming` belongs to nobody


class DiskReservation:
    """Disk space for one record that is not written yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def reserve(self) -> None:
        """Have the disk keep the space; raises OSError."""
        fault_points.hit("archive:write")
        os.posix_fallocate(self._descriptor, 0, RESERVED_BYTES)

    def commit(self, path: Path, data: bytes) -> None:
        """Let `data` be what lies at `path`, on disk when this returns."""
        os.ftruncate(self._descriptor, max(len(data), 1))
        os.pwrite(self._descriptor, data, 0)
        fault_points.hit("archive:fsync")
        os.fsync(self._descriptor)
        fault_points.hit("archive:rename")
        os.rename(self._path, path)
        sync_folder(path.parent)

    def release(self) -> None:
        """Give back what was not used."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


class RecordFolders:
    """The folders. Every write raises StoreFull where the disk has no room."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self.root = files, files.root / ARCHIVE_FOLDER

    def path(self, folder: str, name: str) -> Path:
        """Where a record lies; both names are made by us, from ids."""
        return self.root / folder / f"{name}.json"

    @contextlib.contextmanager
    def reserve(self) -> Iterator[DiskReservation]:
        """Take room for one record, and give back what is not filled."""
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
        """Write a record into room that was taken, or into what the disk has."""
        with disk_full_as_store_full():
            if reservation is None:
                self._files.write(path, data)
            else:
                make_folder(path.parent)
                reservation.commit(path, data)

    def delete(self, path: Path) -> None:
        """Remove a record; one that is gone is fine."""
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            sync_folder(path.parent)

    def names(self, folder: str) -> list[str]:
        """Names of all records of a folder, without their ending, in order."""
        with contextlib.suppress(FileNotFoundError):
            entries = os.listdir(self.root / folder)
            return sorted(name[:-5] for name in entries if name.endswith(".json"))
        return []

    def sweep(self) -> None:
        """Remove room that was taken by processes that died."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self.root / "incoming")):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                        os.unlink(entry.path)


def record_name(tenant: str, record_id: str) -> str:
    """What a shelf calls a tenant's thing; no tenant has a dot in its name."""
    return f"{tenant}.{record_id}"


def split_record_name(name: str) -> tuple[str, str]:
    """Tenant and id of what a shelf calls so."""
    tenant, record_id = name.split(".", 1)
    return tenant, record_id
