"""Archives a running job's record beside its checkpoints, in case the store is lost.

A disk that refuses the record costs no tick: replaced checkpoints stay, and the next record is
complete again. Knows the archive; knows no trainer.
"""

import time

from jobs.archive.job_file import JobFile
from jobs.archive.jobs import JobArchive
from jobs.errors import DiskUnavailable, RequestInProgress, StoreFull
from jobs.files.artifacts import UnsafePath
from workers.trainer_session import TrainerSession

#: seconds from an attempt's begin to its first record, if no checkpoint comes before: the record
#: of a job that ends sooner is that of its end
FIRST_RECORD_SECONDS = 1.0


class Archiver:
    """The archive of the job that one attempt works on."""

    def __init__(self, archive: JobArchive, session: TrainerSession) -> None:
        self._archive, self._session = archive, session
        self._file: JobFile | None = None
        self._has_tried, self._began_at = False, time.monotonic()

    @property
    def is_first_due(self) -> bool:
        """Return whether it is time for the attempt's first record."""
        age = time.monotonic() - self._began_at
        return not self._has_tried and age >= FIRST_RECORD_SECONDS

    def save(self) -> bool:
        """Archive the job as it is now; return False if the disk refused it.

        Waits while the store is unavailable. Raises LeaseLost, NoSuchJob or StoreUnavailable.
        """
        self._has_tried = True
        ledger_writer = self._session.ledger_writer
        ledger_writer.wait_for_segments()  # moving a segment to files writes the same record
        return ledger_writer.retry(self._try_save)

    def _try_save(self) -> bool:
        lease, file, self._file = self._session.claim.lease, self._file, None
        try:
            self._file = self._archive.save(lease.tenant, lease.job_id, lease=lease, job_file=file)
        except (OSError, UnsafePath, StoreFull, DiskUnavailable, RequestInProgress) as error:
            self._session.log.write(f"the archive has no newer record: {error}")
            return False
        return True
