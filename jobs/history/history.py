"""A job's history as its readers want it: pages, the newest ticks, views, CSV, binary.

The door to this room: sorts the question, hands it to who answers. Knows no HTTP, and nothing of
where the bytes lie. Bounds `after` and `before` are exclusive; tick 0's points (the state before
any update) come with `after=0`. Every method raises NoSuchJob, UnknownColumn or UnsupportedColumn at
once, streams included.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from jobs.files.artifacts import ArtifactStore
from jobs.history import exports, json_pages
from jobs.history.column_reader import ColumnReader
from jobs.history.errors import UnsupportedColumn
from jobs.history.exports import BinaryExport
from jobs.history.json_pages import HistoryJson
from jobs.history.selection import RATE_COLUMN, ColumnSelection, select_columns
from jobs.job import Job
from jobs.values import STATE_COLUMN

DEFAULT_LIMIT = 10_000  # ticks a page when nothing is said
DEFAULT_COLUMNS = ("loss",)


class HistoryReader:
    """Reads histories. Holds no state: each answer is of the job as it was when asked."""

    def __init__(self, store: "redis.Redis", files: ArtifactStore) -> None:
        self._columns = ColumnReader(store, files)

    def read(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        after: int = 0,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> HistoryJson:
        """Read a page of at most `limit` ticks, as the contract's JSON.

        Sparse columns beside a dense one have the points of the page's ticks; alone, they make a
        page of at most `limit` points each.
        """
        selection = self._select(job, columns)
        return json_pages.range_json(selection, *selection.tick_range(after, before), limit)

    def read_newest(
        self, job: Job, n: int, columns: Sequence[str] = DEFAULT_COLUMNS
    ) -> HistoryJson:
        """Read the newest `n` ticks; of sparse columns alone, the newest `n` points of each."""
        return json_pages.newest_json(self._select(job, columns), n)

    def read_view(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        *,
        points: int,
        after: int = 0,
        before: int | None = None,
    ) -> HistoryJson:
        """Summarize the range in at most `points` buckets a column, exact in their extremes.

        A sparse column's buckets are of its recorded ticks; `state` has none: UnsupportedColumn.
        """
        selection = self._select(job, columns)
        if STATE_COLUMN in selection.sparse:
            raise UnsupportedColumn(STATE_COLUMN, "is a digest and has no view")
        return json_pages.view_json(selection, *selection.tick_range(after, before), points)

    def read_raw(self, job: Job, column: str, first: int, last: int) -> npt.NDArray[np.float32]:
        """Read a recorded dense column's ticks first…last, cut at the last accepted one."""
        selection = self._select(job, [column])
        if column == RATE_COLUMN or not selection.dense:
            raise UnsupportedColumn(column, "is not recorded at every tick")
        start, stop = selection.tick_range(first - 1, last + 1)
        return selection.values(column, start, stop).astype(np.float32)

    def read_sparse(self, job: Job, column: str) -> dict[str, list[Any]]:
        """Read all points of a sparse column: {"tick": […], "value": […]}."""
        selection = self._select(job, [column])
        if not selection.sparse:
            raise UnsupportedColumn(column, "is not sparse")
        return json_pages.sparse_json(column, selection.points(column, 0, selection.extent.tick))

    def stream_csv(
        self,
        job: Job,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        after: int = 0,
        before: int | None = None,
    ) -> Iterator[bytes]:
        """Stream the whole range as CSV, in bounded memory."""
        selection = self._select(job, columns)
        return exports.stream_csv(
            selection, list(dict.fromkeys(columns)), *selection.tick_range(after, before)
        )

    def stream_binary(
        self, job: Job, column: str = "loss", after: int = 0, before: int | None = None
    ) -> BinaryExport:
        """Stream one dense column as little-endian float32; its first and last tick are known."""
        selection = self._select(job, [column])
        if not selection.dense:
            raise UnsupportedColumn(column, "is sparse and has no binary form")
        return exports.stream_binary(selection, column, *selection.tick_range(after, before))

    def _select(self, job: Job, columns: Sequence[str]) -> ColumnSelection:
        return select_columns(self._columns, job, columns)
