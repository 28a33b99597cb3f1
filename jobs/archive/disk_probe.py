"""Tries whether the artifacts' disk takes a record now, at most once a second for all who ask."""

import threading
import time

from jobs.archive.disk_reserve import CHANGE_BYTES
from jobs.archive.record_folders import RecordFolders
from jobs.errors import DiskUnavailable, StoreFull
from jobs.files.artifacts import ArtifactStore

MAX_AGE_SECONDS = 1.0  # of an answer that is given again


class DiskProbe:
    """Keeps the newest answer: None, or the error."""

    def __init__(self, files: ArtifactStore) -> None:
        self._reserve, self._lock = RecordFolders(files).disk_reserve, threading.Lock()
        self._error: StoreFull | DiskUnavailable | None = None
        self._tried_at = -MAX_AGE_SECONDS

    def check(self) -> None:
        """Raise StoreFull or DiskUnavailable if a record cannot be written."""
        with self._lock:
            if time.monotonic() - self._tried_at >= MAX_AGE_SECONDS:
                self._error = self._try()
                self._tried_at = time.monotonic()
            error = self._error
        if error is not None:
            raise type(error)(str(error))

    def _try(self) -> StoreFull | DiskUnavailable | None:
        try:
            with self._reserve.reserve(CHANGE_BYTES) as reservation:
                reservation.sync()
        except (StoreFull, DiskUnavailable) as error:
            return error
        return None
