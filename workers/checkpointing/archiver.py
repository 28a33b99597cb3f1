"""Archives a running job's record beside its checkpoints, in case the store is lost.

A disk that refuses the record costs no tick: replaced checkpoints stay, and the next record is
complete again. Knows the archive; knows no trainer.
"""

from jobs.archive.job_file import JobFile
from jobs.archive.jobs import JobArchive
from jobs.errors import DiskUnavailable, RequestInProgress, StoreFull
from jobs.files.artifacts import UnsafePath
from workers.trainer_session import TrainerSession


class Archiver:
    """The archive of the job that one attempt works on."""

    def __init__(self, archive: JobArchive, session: TrainerSession) -> None:
        self._archive, self._session = archive, session
        self._file: JobFile | None = None
        self.has_tried = False  # whether this attempt has called `save`

    def save(self) -> bool:
        """Archive the job as it is now; return False if the disk refused it.

        Waits while the store is unavailable. Raises LeaseLost, NoSuchJob or StoreUnavailable.
        """
        self.has_tried = True
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
