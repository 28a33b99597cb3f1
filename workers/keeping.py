"""Keeps a job's record beside its checkpoints while it runs, for the day the store is lost.

A disk that will not have it costs no tick: the checkpoint's predecessor stays, and the next one's
record is whole again. Knows the archive; knows no trainer.
"""

from collections.abc import Callable

from jobs.archive.jobs import JobArchive
from jobs.archive.volume import JobFile
from jobs.errors import RequestInProgress, StoreFull
from jobs.files import UnsafePath
from jobs.job import Lease
from workers.patience import insist


class Keeper:
    """The owner's end of one job's archive."""

    def __init__(
        self,
        archive: JobArchive,
        lease: Lease,
        may_wait: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self._archive, self._lease = archive, lease
        self._may_wait, self._say = may_wait, say
        self._volume: JobFile | None = None
        self.has_tried = False  # to keep anything of this attempt

    def keep(self) -> bool:
        """Keep the job as it is now; False when the disk would not have it.

        Waits while the store is away; raises Fenced, NoSuchJob or StoreAway.
        """
        self.has_tried = True
        return insist(self._try, self._may_wait)

    def _try(self) -> bool:
        lease, volume, self._volume = self._lease, self._volume, None
        try:
            self._volume = self._archive.save(
                lease.tenant, lease.job_id, lease=lease, job_file=volume
            )
        except (OSError, UnsafePath, StoreFull, RequestInProgress) as error:
            self._say(f"the archive has no newer record: {error}")
            return False
        return True
