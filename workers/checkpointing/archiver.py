"""Keeps a job's record beside its checkpoints while it runs, for the day the store is lost.

A disk that will not have it costs no tick: the checkpoint's predecessor stays, and the next one's
record is whole again. Knows the archive; knows no trainer.
"""

from collections.abc import Callable

from jobs.archive.job_file import JobFile
from jobs.archive.jobs import JobArchive
from jobs.errors import RequestInProgress, StoreFull
from jobs.files.artifacts import UnsafePath
from jobs.job import Lease
from workers.store_retry import retry_while_unavailable


class AttemptArchiver:
    """The owner's end of one job's archive."""

    def __init__(
        self,
        archive: JobArchive,
        lease: Lease,
        may_retry: Callable[[], bool],
        write_log: Callable[[str], None],
    ) -> None:
        self._archive, self._lease = archive, lease
        self._may_retry, self._write_log = may_retry, write_log
        self._job_file: JobFile | None = None
        self.has_tried = False  # to keep anything of this attempt

    def save(self) -> bool:
        """Keep the job as it is now; False when the disk would not have it.

        Waits while the store is away; raises LeaseLost, NoSuchJob or StoreUnavailable.
        """
        self.has_tried = True
        return retry_while_unavailable(self._try_save, self._may_retry)

    def _try_save(self) -> bool:
        lease, job_file, self._job_file = self._lease, self._job_file, None
        try:
            self._job_file = self._archive.save(
                lease.tenant, lease.job_id, lease=lease, job_file=job_file
            )
        except (OSError, UnsafePath, StoreFull, RequestInProgress) as error:
            self._write_log(f"the archive has no newer record: {error}")
            return False
        return True
