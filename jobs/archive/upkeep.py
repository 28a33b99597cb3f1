"""The thread of an API process that completes the archive once the disk takes records again.

It writes owed records and refills the space that is kept for changes on a full disk.
"""

from jobs import logs
from jobs.archive.jobs import JobArchive
from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.archive.owed_records import OwedRecord, OwedRecords
from jobs.archive.webhooks import WebhookArchive
from jobs.background_thread import BackgroundThread
from jobs.errors import DiskUnavailable, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.store.connection import Store

INTERVAL_SECONDS = 5.0
BATCH_SIZE = 16  # owed records of one round


class ArchiveUpkeep(BackgroundThread):
    """A context that does a round every INTERVAL_SECONDS."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        super().__init__("archive upkeep", join_seconds=1.0)
        self._jobs, self._others = JobArchive(store, files), KeyDatasetArchive(store, files)
        self._webhooks, self._owed = WebhookArchive(store, files), OwedRecords(store)

    def run_once(self) -> None:
        """Write a batch of owed records, and refill the reserve; what fails stays owed."""
        for _ in range(BATCH_SIZE):
            if (record := self._owed.pop()) is None:
                break
            try:
                self._write(record)
            except Exception:
                self._owed.add(record)
                raise
        self._jobs.refill_reserve()

    def _write(self, record: OwedRecord) -> None:
        if record.owner == "job":
            self._jobs.write_owed(record.tenant, record.id)
        elif record.owner == "dataset":
            self._others.write_owed_dataset(record.tenant, record.id)
        elif record.owner == "tenant":
            self._others.save_tenant(record.tenant)
        elif record.owner == "webhook":
            self._webhooks.write_owed(record.tenant, record.id)
        else:
            self._others.write_owed_key(record.id)

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            try:
                self.run_once()
            except (StoreFull, DiskUnavailable):  # /readyz says so
                continue
            except Exception as error:  # the store above all
                logs.get_logger("api").warning("archive not completed", error=repr(error))
