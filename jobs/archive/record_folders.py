"""Folders of small records, a file each: submissions, keys, datasets, webhooks, tombstones, ….

Knows no store. A file is complete or absent. Disk space for a record can be reserved before the
store changes (disk_reserve.py).
"""

import contextlib
import os
from pathlib import Path

from jobs.archive.disk_reserve import DiskReservation, DiskReserve
from jobs.files.artifacts import ArtifactStore, make_folder, sync_folder, translate_disk_errors

#: below the artifacts' root; the dot keeps it apart from every tenant's folder
ARCHIVE_FOLDER = "tickforge.archive"
#: every folder of records
RECORD_FOLDERS = (
    "submitted", "changed", "deleted", "keys", "deleted-keys", "datasets", "deleted-datasets",
    "secrets", "tenants", "webhooks", "deleted-webhooks",
)  # fmt: skip


class RecordFolders:
    """Lists, writes and deletes records. Every write may raise StoreFull or DiskUnavailable."""

    def __init__(self, files: ArtifactStore) -> None:
        self._files, self.root = files, files.root / ARCHIVE_FOLDER
        self.disk_reserve = DiskReserve(self.root)

    def make_folders(self) -> None:
        """Make all folders, so that none needs room later. Raises StoreFull or DiskUnavailable."""
        with translate_disk_errors():
            for folder in RECORD_FOLDERS:
                make_folder(self.root / folder)

    def path(self, folder: str, name: str) -> Path:
        """Return a record's path. Both names come from ids, never from a client's text."""
        return self.root / folder / f"{name}.json"

    def write(self, path: Path, data: bytes, reservation: DiskReservation | None = None) -> None:
        """Write a record durably, into the reserved space if there is one."""
        with translate_disk_errors():
            if reservation is None:
                self._files.write(path, data)
            else:
                make_folder(path.parent)
                reservation.commit(path, data)

    def delete(self, path: Path) -> None:
        """Delete a record, if it exists. Raises DiskUnavailable."""
        with translate_disk_errors():
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


def record_name(tenant: str, record_id: str) -> str:
    """Join tenant and id into a record's name; tenants have no dot in theirs."""
    return f"{tenant}.{record_id}"


def split_record_name(name: str) -> tuple[str, str]:
    """Split a record's name into tenant and id."""
    tenant, record_id = name.split(".", 1)
    return tenant, record_id
