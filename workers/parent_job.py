"""What a verify reads of the job whose ticks it runs again: its history, checkpoints and files.

Every call raises NoSuchJob once the job is gone. Runs no tick.
"""

from collections.abc import Iterable

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.history import comparison
from jobs.history.column_reader import ColumnReader, Extent
from jobs.history.comparison import RecordedRange
from jobs.history.errors import DamagedHistory
from jobs.history.row_check import check_rows
from jobs.job import Checkpoint
from jobs.queries.jobs import JobQueries

#: a sparse column that no spec decides: its values are not compared, but its file is hashed
UNCOMPARED_COLUMN = "time"


class ParentJob:
    """Reads the records and the files of one job."""

    def __init__(
        self,
        tenant: str,
        job_id: str,
        column_reader: ColumnReader,
        job_queries: JobQueries,
        files: ArtifactStore,
    ) -> None:
        self.tenant, self.job_id = tenant, job_id
        self._column_reader, self._job_queries, self._files = column_reader, job_queries, files

    def read_range(self, columns: Iterable[str], first: int, last: int) -> RecordedRange:
        """Read ticks of the dense columns and of these sparse ones. Raises DamagedHistory."""
        extent = self._read_extent()
        if extent.tick < last:
            raise DamagedHistory(f"the history ends at tick {extent.tick}")
        return comparison.read_range(self._column_reader, extent, columns, first, last)

    def check_unread(self, columns: Iterable[str], first: int, last: int) -> None:
        """Check what `read_range` does not read of these ticks: summary rows, and times.

        Raises DamagedHistory.
        """
        extent = self._read_extent()
        for name in columns:
            check_rows(self._column_reader, extent, name, first, last)
        self._column_reader.check_files(extent, (), [UNCOMPARED_COLUMN], first, last)

    def checkpoint(self, tick: int) -> Checkpoint:
        """Return the checkpoint of a tick. Raises NoSuchCheckpoint."""
        return self._job_queries.get_checkpoint(self.tenant, self.job_id, str(tick))

    def damaged_files(self, checkpoint: Checkpoint) -> list[str]:
        """Hash a checkpoint's files; name those that are not as its record says.

        Raises NoSuchCheckpoint if it was deleted meanwhile.
        """
        place = self._files, self.tenant, self.job_id
        names = checkpoint_folders.damaged_files(*place, checkpoint)
        if names:
            self.checkpoint(checkpoint.tick)
        return [f"checkpoints/{checkpoint.tick}/{name}" for name in names]

    def _read_extent(self) -> Extent:
        return self._column_reader.read_extent(self.tenant, self.job_id)
