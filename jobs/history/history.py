"""The entry point for reading histories: pages, newest ticks, views, CSV, binary.

Knows no HTTP, and not where the bytes are. Bounds `after` and `before` are exclusive; `after=0`
includes the points of tick 0 (the state before any update). Every method, streams included, raises
NoSuchJob, UnknownColumn, UnsupportedColumn or DamagedHistory at the call.
"""

from collections.abc import Iterator, Sequence

from jobs.files.artifacts import ArtifactStore
from jobs.files.file_digests import FileDigests
from jobs.history import curves, exports, json_pages
from jobs.history.column_reader import ColumnReader
from jobs.history.condition_search import ConditionSearch
from jobs.history.curves import Series
from jobs.history.errors import UnsupportedColumn
from jobs.history.exports import BinaryExport
from jobs.history.json_pages import HistoryJson
from jobs.history.selection import ColumnSelection, list_columns, select_columns
from jobs.job import Job
from jobs.spec.conditions import Condition
from jobs.store.connection import Store
from jobs.values import STATE_COLUMN

DEFAULT_LIMIT = 10_000  # ticks per page
DEFAULT_COLUMNS = ("loss",)


class HistoryReader:
    """Reads histories; each call sees the job as it is at that moment."""

    def __init__(
        self, store: Store, files: ArtifactStore, digests: FileDigests | None = None
    ) -> None:
        self._columns = ColumnReader(store, files, digests)

    def read(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        after: int = 0,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> HistoryJson:
        """Read a page of at most `limit` ticks.

        Sparse columns beside a dense one have the points of the page's ticks; sparse columns alone
        have at most `limit` points each.
        """
        selection = self.select(job, columns)
        return json_pages.range_json(selection, *selection.tick_range(after, before), limit)

    def read_newest(
        self, job: Job, n: int, columns: Sequence[str] = DEFAULT_COLUMNS
    ) -> HistoryJson:
        """Read the newest `n` ticks; with sparse columns alone, the newest `n` points of each."""
        return json_pages.newest_json(self.select(job, columns), n)

    def read_view(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        *,
        points: int,
        after: int = 0,
        before: int | None = None,
    ) -> HistoryJson:
        """Summarize the range in at most `points` buckets per column, exact in their extremes.

        Buckets of a sparse column hold recorded ticks. Raises UnsupportedColumn for `state`.
        """
        selection = self._select_numbers(job, columns)
        return json_pages.view_json(selection, *selection.tick_range(after, before), points)

    def read_series(self, job: Job, columns: Sequence[str], *, points: int) -> list[Series]:
        """Summarize columns up to the job's tick, as it was read, in at most `points` buckets each.

        In the order of `columns`; one without any value is left out. Raises UnsupportedColumn for
        `state`.
        """
        selection = self._select_numbers(job, columns)
        series = curves.read_series(selection, job.tick, points)
        return sorted(series, key=lambda item: columns.index(item.column))

    def stream_csv(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        after: int = 0,
        before: int | None = None,
    ) -> Iterator[bytes]:
        """Stream the range as CSV, in bounded memory."""
        selection, names = self.select(job, columns), list(dict.fromkeys(columns))
        first, last = selection.tick_range(after, before)
        selection.check_files(first, last)
        return exports.stream_csv(selection, names, first, last)

    def stream_binary(
        self, job: Job, column: str = "loss", after: int = 0, before: int | None = None
    ) -> BinaryExport:
        """Stream one dense column as little-endian float32, with its first and last tick."""
        selection = self.select(job, [column])
        if not selection.dense:
            raise UnsupportedColumn(column, "is sparse and has no binary form")
        first, last = selection.tick_range(after, before)
        selection.check_files(first, last)
        return exports.stream_binary(selection, column, first, last)

    def check_range(self, job: Job, columns: Sequence[str], after: int, before: int | None) -> None:
        """Raise what a read of the range would, before any of it is read."""
        selection = self.select(job, columns)
        selection.check_files(*selection.tick_range(after, before))

    def search(self, job: Job, condition: Condition) -> ConditionSearch:
        """Return the search for a tick of the job's own that meets a condition on a column."""
        return ConditionSearch(self._columns, job, condition)

    def _select_numbers(self, job: Job, columns: Sequence[str]) -> ColumnSelection:
        selection = self.select(job, columns)
        if STATE_COLUMN in selection.sparse:
            raise UnsupportedColumn(STATE_COLUMN, "is a digest and has no view")
        return selection

    def list_columns(self, job: Job) -> list[str]:
        """Return the names of all columns, recorded and computed. Raises NoSuchJob."""
        return list_columns(self._columns.read_extent(job.tenant, job.id), job.spec)

    def select(self, job: Job, columns: Sequence[str]) -> ColumnSelection:
        """Check the names of columns, and read how far the history reaches."""
        return select_columns(self._columns, job, columns)
