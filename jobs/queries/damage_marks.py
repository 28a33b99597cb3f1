"""Versions of files that were found damaged, known to all processes of the API. Knows no path."""

import contextlib

from jobs.files.file_digests import FileVersion
from jobs.store import keys
from jobs.store.connection import Store, StoreError

#: a mark's life; afterwards the file is hashed, and marked, once more
MARK_SECONDS = 86_400


class DamageMarks:
    """Marks a version of a file as damaged; a file that is put back is another version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, version: FileVersion) -> None:
        """Mark a version; a store that is away or full leaves it to the next reader."""
        with contextlib.suppress(StoreError):
            self._store.set(_key(version), "1", ex=MARK_SECONDS)

    def has(self, version: FileVersion) -> bool:
        """Return whether a version is marked."""
        return bool(self._store.exists(_key(version)))


def _key(version: FileVersion) -> str:
    # without the device, which is another one on another machine
    return keys.damaged_file(":".join(map(str, version[1:])))
