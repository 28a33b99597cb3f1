"""The folder of a job that is not made yet: complete under its name, or removed.

While it is filled its name is that of a removal which was cut short, and the store counts it among
the files to be removed. So whatever a process that died has left goes as the files of a deleted job
do, and no rebuild takes it for a job. Knows no checkpoint.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator

from jobs import fault_points
from jobs.files.artifacts import (
    ArtifactStore,
    make_folder,
    remove_tree,
    sync_folder,
    translate_disk_errors,
)
from jobs.ledger.client import JobLedger
from jobs.store import keys
from jobs.store.connection import Store, StoreError

#: seconds between two signs of life to the store; without one for 30 s the folder may be removed
RENEW_SECONDS = 5.0


class HeldFolder:
    """The folder of one new job, `path` while it is filled."""

    def __init__(self, store: Store, files: ArtifactStore, tenant: str, job_id: str) -> None:
        self._store, self._ledger = store, JobLedger(store)
        self._tenant, self._job_id = tenant, job_id
        self._final = files.job_folder(tenant, job_id)
        self.path = self._final.parent / f".{job_id}.{secrets.token_hex(8)}.gone"
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Tell the store that it is still being filled. Raises HoldLost if that comes too late."""
        if time.monotonic() - self._renewed >= RENEW_SECONDS:
            self._ledger.hold_files(self._tenant, self._job_id)
            self._renewed = time.monotonic()

    def publish(self) -> None:
        """Give it the job's name, durably; the job must be made next. Raises HoldLost."""
        fault_points.hit("fork:publish")
        self._ledger.hold_files(self._tenant, self._job_id)
        os.rename(self.path, self._final)
        sync_folder(self._final.parent)
        fault_points.hit("fork:published")

    def begin(self) -> None:
        """Make the folder, once the store knows of it."""
        self._ledger.hold_files(self._tenant, self._job_id, is_new=True)
        fault_points.hit("fork:held")
        make_folder(self.path)

    def discard(self) -> None:
        """Remove it, unless the job was made; what cannot be removed now is removed later."""
        member = keys.job_member(self._tenant, self._job_id)
        with contextlib.suppress(StoreError, OSError):
            if self._store.zscore(keys.PENDING_JOB_REMOVALS, member) is not None:
                remove_tree(self.path)
                remove_tree(self._final)
                self._store.zrem(keys.PENDING_JOB_REMOVALS, member)


@contextlib.contextmanager
def held_folder(
    store: Store, files: ArtifactStore, tenant: str, job_id: str
) -> Iterator[HeldFolder]:
    """Hold the folder of a new job; at the end of the block it is the job's, or gone.

    Raises StoreFull or DiskUnavailable for what the disk refuses.
    """
    folder = HeldFolder(store, files, tenant, job_id)
    try:
        with translate_disk_errors():
            folder.begin()
            yield folder
    finally:
        folder.discard()
